"""Checkpoints: written beside, then renamed, so that a crash at any byte leaves the previous one usable."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from restorekit.engine.notices import notice
from restorekit.errors import TrainingError

_NAME = re.compile(r"step-(\d{9})\.pt")
KEEP = 2


def _fill(beside: Path, path: Path, write: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(beside)
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then rename it. Raises `TrainingError`; leaves nothing behind."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _fill(beside, path, write)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise TrainingError(
            f"{path} cannot be written: {error}. What was saved before is intact; free space or choose another"
            " folder, and start the same command again to go on"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # a folder that cannot be written holds no leftovers either
            beside.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what a process that was killed while writing has left below `folder`."""
    for leftover in folder.rglob(".*.part"):
        leftover.unlink(missing_ok=True)


def _found(folder: Path) -> list[tuple[int, Path]]:
    matches = ((_NAME.fullmatch(p.name), p) for p in folder.glob("step-*.pt"))
    return sorted((int(m[1]), p) for m, p in matches if m)


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the state after `step` steps, and keep the newest few checkpoints."""
    path = folder / f"step-{step:09d}.pt"
    write_atomically(path, lambda beside: torch.save({"step": step, **state}, beside))
    for _, old in _found(folder)[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """Return the newest checkpoint that can be read, or None when there is none; warns about damaged ones.

    Raises `TrainingError` when there are checkpoints and none can be read.
    """
    problems: list[str] = []
    for _, path in reversed(_found(folder)):
        try:
            state = torch.load(path, map_location=device, weights_only=True)
            if not isinstance(state, dict) or "step" not in state:
                raise ValueError("it holds no training state")
        except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
            problems.append(f"{path.name}: {' '.join(str(error).split())[:120]}")
            continue
        if problems:
            notice(f"a damaged checkpoint is passed over ({'; '.join(problems)}); going on from {path.name}")
        return state
    if problems:
        raise TrainingError(
            f"no checkpoint in {folder} can be read ({'; '.join(problems)}); remove the folder to start anew"
        )
    return None
