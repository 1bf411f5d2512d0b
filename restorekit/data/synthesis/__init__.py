"""Synthetic rain: streaks in the air and drops on the glass, made from clean images.

Everything is drawn from one integer key per sample, so that a sample does not depend on its batch, its
process or its device (up to rounding).
"""

from __future__ import annotations

from torch import Tensor

from restorekit.data.synthesis.raindrops import PRESETS as DROP_PRESETS
from restorekit.data.synthesis.raindrops import RaindropSettings, add_drops
from restorekit.data.synthesis.streaks import PRESETS as STREAK_PRESETS
from restorekit.data.synthesis.streaks import StreakSettings, add_streaks
from restorekit.errors import UnknownNameError, closest
from restorekit.plugin.entry import TASKS

STREAK_MASK_THRESHOLD = 2 / 255
"""A pixel belongs to a streak when the rain's light there is above this."""

__all__ = [
    "DROP_PRESETS",
    "STREAK_MASK_THRESHOLD",
    "STREAK_PRESETS",
    "TASKS",
    "RaindropSettings",
    "StreakSettings",
    "add_drops",
    "add_streaks",
    "check_preset",
    "presets",
    "synthesize",
]


def presets(task: str) -> tuple[str, ...]:
    """Return the names of the presets of a task; raises `UnknownNameError` for another task."""
    tables = {"raindrop": tuple(DROP_PRESETS), "rain-streak": tuple(STREAK_PRESETS)}
    if task not in tables:
        raise UnknownNameError(
            f"No synthesizer for the task {task!r}; there are {', '.join(TASKS)}.{closest(task, TASKS)}"
        )
    return tables[task]


def check_preset(task: str, preset: str | None) -> None:
    """Raise `UnknownNameError` when the task is unknown, or has no preset of that name (None: its default)."""
    names = presets(task)
    if preset is not None and preset not in names:
        raise UnknownNameError(
            f"No preset {preset!r} for the task {task!r}; there are {', '.join(names)}.{closest(preset, names)}"
        )


def synthesize(clean: Tensor, keys: Tensor, task: str, preset: str | None = None) -> tuple[Tensor, Tensor]:
    """Degrade a batch of clean images.

    `clean`: [B, 3, H, W] in [0, 1]. `keys`: [B] integers. `task`: ``raindrop`` or ``rain-streak``.
    `preset`: for streaks ``light``, ``medium``, ``heavy``, ``real``, ``rain100`` or ``mixed`` (the default); for drops
    ``drops`` (the default), ``soft`` or ``mixed``. Returns the degraded images, [B, 3, H, W] in [0, 1], and the
    mask [B, 1, H, W] in {0, 1}: drops by the difference (see `add_drops`), streaks where the rain adds more than
    2/255. Raises `UnknownNameError` and `DataError`.
    """
    check_preset(task, preset)
    if task == "raindrop":
        return add_drops(clean, keys, DROP_PRESETS[preset or "drops"])
    degraded, rain = add_streaks(clean, keys, STREAK_PRESETS[preset or "mixed"])
    return degraded, (rain > STREAK_MASK_THRESHOLD).to(clean.dtype)
