"""The recipe of derain. Importing this module does not import torch."""

from __future__ import annotations

from restorekit.recipe import Recipe


def derain() -> Recipe:
    """Return the recipe: squared error and the mask's loss on 192x192 crops, AdamW, averaged weights.

    With L1 in place of the squared error a new network stays the identity for thousands of crops: most pixels have
    nothing wrong, and the median of what a pixel lacks is nothing.
    """
    return Recipe.read(
        {
            "name": "derain",
            "task": "rain",
            "generator": {"name": "derain"},
            "losses": {"mse": {"weight": 20.0}, "change-mask": {"weight": 0.3}},
            "optim": {"generator": {"name": "adamw", "lr": 6e-4, "betas": (0.9, 0.99), "weight_decay": 1e-4}},
            "schedule": {"name": "cosine", "warmup": 400, "floor": 0.01},
            "data": {"crop": 192, "batch": 8},
            "clip_norm": 0.5,
            "ema": 0.999,
            "steps": 30_000,
        }
    )
