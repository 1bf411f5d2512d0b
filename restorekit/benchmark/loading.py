"""Loading a model for a benchmark, telling "has no weights" from "is broken"."""

from __future__ import annotations

import importlib.resources
from typing import TYPE_CHECKING, Any

from restorekit.errors import WeightsError

if TYPE_CHECKING:
    from restorekit.benchmark.runner import Settings
    from restorekit.plugin.registry import Component

MANIFEST = "manifest.json"


class NoWeights(WeightsError):
    """The model has no weights and none were given; it cannot run, which is no failure."""


def load_model(component: Component, name: str, settings: Settings) -> Any:
    """Return a restorer of the model `name`, with the weights given for it or those that it ships.

    Raises `NoWeights` when there are none, and whatever loading raises otherwise.
    """
    from restorekit.restore.load import load
    from restorekit.restore.restorer import Budget

    given = settings.weights.get(component.id)
    budget = Budget(steps=settings.budget_steps, seconds=settings.seconds)
    try:
        return load(component.id, given, device=settings.device, precision=settings.precision, budget=budget)
    except WeightsError as error:
        if given is None and not ships_weights(component):
            raise NoWeights(f"no weights: train with `restorekit train {name} --data FOLDER`") from error
        raise


def ships_weights(component: Component) -> bool:
    """Return whether the manifest of the model's plugin lists weights for it."""
    package, _, folder = component.entry.weights.partition(":")
    if not package:
        return False
    manifest = importlib.resources.files(package).joinpath(folder, MANIFEST)
    return manifest.is_file() and f'"{component.entry.name}"' in manifest.read_text(encoding="utf-8")
