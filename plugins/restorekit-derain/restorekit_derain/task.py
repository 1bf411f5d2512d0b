"""The task of derain."""

from __future__ import annotations

from restorekit.data.tasks import TaskCard

RAIN = TaskCard(
    degraded="a photograph with streaks of rain, drops on the glass, both, or neither",
    clean="the same photograph without rain",
)
