"""`TaskCard`: what a restoration task is, in words. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskCard:
    """A task: what harms an image (`degraded`) and what is left when it is gone (`clean`), each a few words.

    A plugin declares it as an entry of the kind ``task``; the entry's `summary` is its one line.
    """

    degraded: str
    clean: str


RAINDROP = TaskCard("a photograph through wet glass", "the same scene without drops on the glass")
RAIN_STREAK = TaskCard("a photograph of falling rain", "the same scene without rain in the air")
