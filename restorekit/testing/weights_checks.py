"""Checks of the weights that a model ships."""

from __future__ import annotations

import torch
from torch import nn

from restorekit.errors import DataError, WeightsError
from restorekit.networks import build_generator
from restorekit.plugin.registry import registry
from restorekit.recipe.check import model_recipe
from restorekit.testing.check import CheckFailedError, CheckSkippedError, Subject, for_kinds, require
from restorekit.weights.files import load_weights, recipe_of
from restorekit.weights.find import shipped_weights
from restorekit.weights.gain import measured_gains, restored_plainly
from restorekit.weights.manifest import Shipped, verify

NEAR = 0.05  # dB: so near to none, another machine's rounding may turn the sign


def _shipped(subject: Subject) -> Shipped:
    entry = subject.component.entry
    try:
        found = shipped_weights(entry)
    except WeightsError as error:
        raise CheckFailedError(str(error)) from error
    if found is None:
        raise CheckFailedError(
            f"its entry says weights={entry.weights!r}, and no manifest there names {entry.name!r}; make one with"
            " `restorekit weights pack RUN -o PACKAGE`, or take the field out"
        )
    return found


def _loaded(subject: Subject) -> nn.Module:
    found = _shipped(subject)
    recipe = recipe_of(found.path) or model_recipe(registry(), subject.component.id)
    network = build_generator(recipe)
    load_weights(found.path, network)
    return network.eval().to(subject.device)


@for_kinds("model")
def check_weights_load(subject: Subject) -> None:
    """Weights that it ships are there, have the manifest's SHA-256, fit the network and give finite images."""
    if not subject.component.entry.weights:
        return
    found = _shipped(subject)
    try:
        verify(found)
        network = _loaded(subject)
    except WeightsError as error:
        raise CheckFailedError(f"{error}; pack them anew with `restorekit weights pack`") from error
    image = restored_plainly(network, torch.linspace(0, 1, 3 * 64 * 64).view(1, 3, 64, 64))
    require(bool(torch.isfinite(image).all()), "with its shipped weights the restored image is not finite")


@for_kinds("model")
def check_weights_gain_what_they_say(subject: Subject) -> None:
    """The manifest states a gain, and it has the right sign on the built-in pictures of the model's task."""
    found = shipped_weights(subject.component.entry)
    if found is None:
        return
    verify(found)  # what is wrong with the file itself, the check before says
    network = _loaded(subject)
    try:
        gains = measured_gains(network, model_recipe(registry(), subject.component.id).task)
    except DataError as error:
        raise CheckSkippedError(f"there are no built-in pictures of its task: {error}") from error
    mean = sum(gains) / len(gains)
    measured = f"on {len(gains)} crops of the built-in pictures it is {mean:+.2f} dB"
    if found.gain is None:
        raise CheckFailedError(
            f"its manifest states no gain over the degraded input, so that nobody knows what its weights are worth;"
            f" {measured}. `restorekit weights pack` writes it; by hand it is the field 'gain' beside 'sha256'"
        )
    require(
        mean * found.gain > 0 or abs(mean - found.gain) < NEAR,
        f"its manifest states a gain of {found.gain:+.2f} dB, and {measured}; measure it anew with `restorekit"
        " benchmark`, and pack the weights again",
    )
