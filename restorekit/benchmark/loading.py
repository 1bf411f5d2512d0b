"""Loading a model for a benchmark, telling "has no weights" from "is broken"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restorekit.errors import WeightsError

if TYPE_CHECKING:
    from restorekit.benchmark.settings import Settings
    from restorekit.plugin.registry import Component
    from restorekit.restoring.restorer import BaseRestorer


class NoWeightsError(WeightsError):
    """The model has no weights and none were given; it cannot run, which is no failure."""


def load_model(component: Component, name: str, settings: Settings) -> BaseRestorer:
    """Return a restorer of the model `name`, with the weights given for it or those that are installed.

    Raises `NoWeightsError` when there are none, and whatever loading raises otherwise.
    """
    from restorekit.restoring.load import load
    from restorekit.restoring.settings import Budget
    from restorekit.weights.find import weights_state

    given = settings.weights.get(component.id)
    # Without an own wish, only models without weights train on each image, for a short time.
    seconds = settings.seconds if weights_state(component.entry) == "adapts" else settings.budget_seconds
    budget = Budget(steps=settings.budget_steps, seconds=seconds)
    try:
        return load(component.id, given, device=settings.device, precision=settings.precision, budget=budget)
    except WeightsError as error:
        if given is None and weights_state(component.entry) == "none":
            raise NoWeightsError(f"no weights: train with `restorekit train {name} --data FOLDER`") from error
        raise
