"""How a run is to go, as opposed to what is trained, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

OnStep = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to run."""

    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    compile: str = "auto"
    """Compile the networks: ``auto`` (long CUDA jobs), ``on`` or ``off``."""
    max_steps: int | None = None
    """Stop after this step as if interrupted."""
    log_every: int = 20
    """Steps from one log line to the next."""
    on_nan: Literal["stop", "rollback", "skip"] = "stop"
    """What follows an update that was masked because it was not finite.

    ``stop`` with a message, ``rollback`` to the last checkpoint and go on with other samples, or ``skip`` it; the last
    two a bounded number of times.
    """
    on_bad_image: Literal["stop", "skip"] = "stop"
    """What follows an image that cannot be read: ``stop``, or ``skip`` and count it."""
    profile: bool = False
    """Trace a few steps."""
    init: Path | None = None
    """Weights to start the generator from, as far as names and shapes agree."""
    track: tuple[str, ...] | None = None
    """Plugins that follow the run; None: those that it was started with, at first none."""


@dataclass
class RunResult:
    """How a run ended."""

    run: Path
    """Its folder."""
    step: int
    """The last step that was done."""
    completed: bool
    """Whether all steps were done, or it was interrupted."""
    exit_code: int = 0
    """Of the command: 0, or 128 + the number of the signal that came."""
    best: dict[str, float] = field(default_factory=dict)
    """The best value of each validation metric."""
    bad_images: dict[str, str] = field(default_factory=dict)
    """What was left out: file -> why."""
    report: str = ""
    """What `Options.profile` found, in words."""
