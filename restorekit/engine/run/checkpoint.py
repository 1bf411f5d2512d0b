"""Checkpoints: written beside, then renamed, so that a crash at any byte leaves the previous one usable."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from restorekit.errors import TrainingError
from restorekit.files import write_by_name
from restorekit.notices import notice

_NAME = re.compile(r"step-(\d{9})\.pt")
KEEP = 2


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill one of a run's files by name: see `write_by_name`. Raises `TrainingError`; leaves nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_by_name(path, write)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise TrainingError(
            f"{path} cannot be written: {error}. What was saved before is intact; free space or choose another"
            " folder, and start the same command again to go on"
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Remove what a process that was killed while writing has left below `folder`."""
    for leftover in folder.rglob(".*.part"):
        leftover.unlink(missing_ok=True)


def _found(folder: Path) -> list[tuple[int, Path]]:
    matches = ((_NAME.fullmatch(p.name), p) for p in folder.glob("step-*.pt"))
    return sorted((int(m[1]), p) for m, p in matches if m)


def save_checkpoint(folder: Path, step: int, state: dict[str, object]) -> Path:
    """Write the state after `step` steps, and keep the newest few checkpoints."""
    path = folder / f"step-{step:09d}.pt"
    write_atomically(path, lambda beside: torch.save({"step": step, **state}, beside))
    for _, old in _found(folder)[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def _read_state(path: Path, device: torch.device, parts: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """Read a checkpoint. Raises `ValueError` when a part of it is missing."""
    state = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(state, dict) or not isinstance(state.get("step"), int):
        raise ValueError("it holds no training state")
    for part, names in parts.items():
        table = state.get(part)
        missing = [name for name in names if not isinstance(table, dict) or name not in table]
        if missing or not isinstance(table, dict):
            raise ValueError(f"its part {'.'.join([part, *missing[:1]])!r} is missing")
    return state


def load_checkpoint(
    folder: Path, device: torch.device, parts: Mapping[str, Collection[str]] | None = None
) -> dict[str, Any] | None:
    """Return the newest checkpoint that can be read, or None when there is none; warns about damaged ones.

    `parts`: the tables that it must hold, with the names that must be in each.

    Raises `TrainingError` when there are checkpoints and none can be read.
    """
    problems: list[str] = []
    for _, path in reversed(_found(folder)):
        try:
            state = _read_state(path, device, parts or {})
        except Exception as error:  # a damaged file raises whatever its reader stumbles over
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
