"""How a run is to go, as opposed to what is trained, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

OnStep = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to run.

    `device`: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``. `log_every`: steps from one log line to the next.
    `compile`: ``auto`` (long CUDA jobs), ``on`` or ``off``. `max_steps`: stop after this step as if interrupted.
    `on_nan`: what follows an update that was masked because it was not finite: ``stop`` with a message,
    ``rollback`` to the last checkpoint and go on with other samples, or ``skip`` it; the last two a bounded
    number of times. `on_bad_image`: ``stop``, or ``skip`` and count. `profile`: trace a few steps.
    `init`: weights to start the generator from, as far as names and shapes agree. `track`: plugins that follow the
    run; None: those that it was started with, at first none.
    """

    device: str = "auto"
    compile: str = "auto"
    max_steps: int | None = None
    log_every: int = 20
    on_nan: Literal["stop", "rollback", "skip"] = "stop"
    on_bad_image: Literal["stop", "skip"] = "stop"
    profile: bool = False
    init: Path | None = None
    track: tuple[str, ...] | None = None


@dataclass
class RunResult:
    """How a run ended: in the folder `run`, after `step` steps, `completed` or interrupted.

    `exit_code`: of the command, 0 unless something is wrong. `best`: the best value of each validation metric.
    `bad_images`: what was left out, file -> why. `report`: what `profile` found, in words.
    """

    run: Path
    step: int
    completed: bool
    exit_code: int = 0
    best: dict[str, float] = field(default_factory=dict)
    bad_images: dict[str, str] = field(default_factory=dict)
    report: str = ""
