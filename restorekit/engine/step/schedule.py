"""The learning rate as a pure function of the step, so that resuming needs no scheduler state."""

from __future__ import annotations

import math

from restorekit.recipe.parts import Schedule


def rate_factor(schedule: Schedule, step: int, steps: int) -> float:
    """Return the factor of the base rate at `step` (from 0) of `steps`."""
    warmup = min(1.0, (step + 1) / schedule.warmup) if schedule.warmup else 1.0
    if schedule.name == "constant":
        return warmup
    if schedule.name == "step":
        return warmup * float(schedule.gamma ** sum(step >= m for m in schedule.milestones))
    progress = min(1.0, max(0.0, (step - schedule.start) / max(1, steps - schedule.start)))
    fall = 1 - progress if schedule.name == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return warmup * (schedule.floor + (1 - schedule.floor) * fall)
