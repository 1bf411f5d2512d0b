"""How a benchmark runs its models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# Seconds per image for a model that trains on each one: two minutes for a built-in set of some 20 images.
ADAPT_SECONDS = 6.0


@dataclass(frozen=True)
class Settings:
    """How models are run. `weights`: model name -> file. Budgets bound models that train on each image.

    `onnx`: each model is also run exported, as a row of its own.
    """

    device: str = "auto"
    precision: str = "auto"
    weights: Mapping[str, str] = field(default_factory=dict)
    budget_seconds: float | None = None
    budget_steps: int | None = None
    onnx: bool = False

    @property
    def seconds(self) -> float | None:
        """The seconds per image: 6 unless seconds or steps are given."""
        if self.budget_seconds is None and self.budget_steps is None:
            return ADAPT_SECONDS
        return self.budget_seconds

    @property
    def budget(self) -> str:
        """The budget in words, such as ``6 s`` or ``200 steps``."""
        parts = [] if self.seconds is None else [f"{self.seconds:g} s"]
        parts += [] if self.budget_steps is None else [f"{self.budget_steps} steps"]
        return ", ".join(parts)
