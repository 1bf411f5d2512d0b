"""The recipe of ReMAEN. Importing this module does not import torch."""

from __future__ import annotations

from restorekit.recipe import Recipe


def remaen() -> Recipe:
    """Return the recipe with the paper's losses and training settings.

    ``generator.stages`` sets the number of passes; ``losses.edge.weight=0`` trains without the edge loss.
    """
    return Recipe.read(
        {
            "name": "remaen",
            "task": "rain-streak",
            "generator": {"name": "remaen"},
            "losses": {"mse": {"weight": 1.0}, "edge": {"weight": 0.1}},
            "optim": {"generator": {"name": "adam", "lr": 1e-3, "betas": (0.9, 0.999)}},
            "schedule": {"name": "step", "milestones": (30_000,), "gamma": 0.1},
            "data": {"crop": 64, "batch": 32},
            "steps": 40_000,
        }
    )
