"""The recipes of Rain2Avoid. Importing this module does not import torch."""

from __future__ import annotations

from restorekit.recipe import Recipe


def rain2avoid() -> Recipe:
    """Return the recipe with the source's training settings.

    On a folder of rainy images (*multiple*): 64x64 crops with flips, batch 64, one random reference of 50
    for each. On the one image to restore (*single*): 5,000 steps, 100 passes over its 50 references, of which
    ``adapt.patience`` holds five out, to stop when they have not come closer for 500 steps. When a budget ends it
    before ``adapt.fallback`` steps, the result is the references' mean. ``prior.expectation=true`` trains on the mean
    instead (with ``adapt.patience=0``), ``generator=NAME`` another network. Images of more than a million
    pixels are learned in crops of that size.
    """
    return Recipe.read(
        {
            "name": "rain2avoid",
            "task": "rain-streak",
            "generator": {"name": "rain-unet", "start": "input"},
            "prior": {"name": "nss", "samples": 50, "trust_mask": False, "align": True, "compare": "rain"},
            "losses": {"references": {"weight": 1.0}},
            "optim": {"generator": {"name": "adam", "lr": 1e-3, "betas": (0.9, 0.999)}},
            "data": {"crop": 64, "batch": 64, "augment": {"flip": True}},
            "steps": 6_250,
            "adapt": {"steps": 5_000, "patience": 500, "pixels": 1_000_000, "fallback": 100},
        }
    )


def rain2avoid_plus() -> Recipe:
    """Return the recipe that takes the rain off as a layer of light, by the prior ``rain-layer``.

    On one image nothing is trained: the prior's result is the best that was measured (see the model's page), and takes
    a second. ``train rain2avoid-plus`` teaches the network what the prior does, on a folder of rainy images.
    """
    return Recipe.read(
        {
            "name": "rain2avoid-plus",
            "task": "rain-streak",
            "generator": {"name": "rain-unet"},
            "prior": {"name": "rain-layer"},
            "losses": {"references": {"weight": 1.0}},
            "optim": {"generator": {"name": "adam", "lr": 1e-3, "betas": (0.9, 0.999)}},
            "data": {"crop": 64, "batch": 64, "augment": {"flip": True}},
            "steps": 6_250,
            "adapt": {"output": "references", "steps": 1_000, "pixels": 1_000_000},
        }
    )
