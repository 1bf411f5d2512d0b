"""`TaskCard`: what a restoration task is, in words. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskCard:
    """A task. A plugin declares it as an entry of the kind ``task``; the entry's `summary` is its one line."""

    degraded: str
    """What harms an image, in a few words."""
    clean: str
    """What is left when that is gone, in a few words."""


RAINDROP = TaskCard("a photograph through wet glass", "the same scene without drops on the glass")
RAIN_STREAK = TaskCard("a photograph of falling rain", "the same scene without rain in the air")
