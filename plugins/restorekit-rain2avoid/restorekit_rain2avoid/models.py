"""The recipe of Rain2Avoid. Importing this module does not import torch."""

from __future__ import annotations

from restorekit.recipe import Recipe


def rain2avoid() -> Recipe:
    """Return the recipe with the source's training settings.

    On a folder of rainy images (*multiple*): 64x64 crops with flips, batch 64, one random reference of 50
    for each. On the one image to restore (*single*): 100 passes over its 50 references, 5,000 steps.
    ``prior.expectation=true`` trains on the references' mean instead, ``generator=NAME`` another network.
    """
    return Recipe.read(
        {
            "name": "rain2avoid",
            "task": "rain-streak",
            "generator": {"name": "rain-unet"},
            "prior": {"name": "nss", "samples": 50, "trust_mask": False},
            "losses": {"references": {"weight": 1.0}},
            "optim": {"generator": {"name": "adam", "lr": 1e-3, "betas": (0.9, 0.999)}},
            "data": {"crop": 64, "batch": 64, "augment": {"flip": True}},
            "steps": 6_250,
            "adapt": {"steps": 5_000},
        }
    )
