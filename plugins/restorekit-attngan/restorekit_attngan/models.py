"""The recipe of AttentiveGAN. Importing this module does not import torch."""

from __future__ import annotations

from restorekit.recipe import Recipe

# Optimizer, rates, batch and length are not stated in the paper; these are ours.
LEARNING_RATE = 2e-4
BETAS = (0.5, 0.999)


def attngan() -> Recipe:
    """Return the recipe: the paper's losses and weights (equations 4 to 12), 224x224 crops."""
    optimizer = {"name": "adam", "lr": LEARNING_RATE, "betas": BETAS}
    return Recipe.read(
        {
            "name": "attngan",
            "task": "raindrop",
            "generator": {"name": "attngan"},
            "discriminator": {"name": "attngan"},
            "prior": {"name": "mask-from-pair"},
            "losses": {
                "adversarial": {"weight": 1e-2, "mode": "bce"},
                "attention": {"weight": 1.0},
                "multi-scale": {"weight": 1.0},
                "perceptual": {"weight": 1.0},
            },
            "critic_losses": {
                "critic": {"weight": 1.0, "mode": "bce"},
                "attention-critic": {"weight": 0.05},
            },
            "optim": {"generator": optimizer, "discriminator": optimizer},
            "schedule": {"name": "cosine"},
            "data": {"crop": 224, "batch": 8},
            "steps": 60_000,
        }
    )
