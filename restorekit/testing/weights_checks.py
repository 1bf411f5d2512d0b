"""Checks of the weights that a model ships."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from restorekit.data.imageset import builtin_set
from restorekit.errors import DataError, WeightsError
from restorekit.interface import Output, SizeRule
from restorekit.networks import build_generator
from restorekit.padding import pad_to_rule
from restorekit.plugin.registry import registry
from restorekit.recipe.check import model_recipe
from restorekit.testing.check import PLACE, CheckFailedError, CheckSkippedError, Subject, for_kinds, require
from restorekit.weights.files import load_weights, recipe_of
from restorekit.weights.find import shipped_weights
from restorekit.weights.manifest import Shipped, verify

_IMAGES, _SIDE = 6, 160


def _shipped(subject: Subject) -> Shipped:
    entry = subject.component.entry
    if not entry.weights:
        raise CheckSkippedError("it ships no weights")
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
    found = _shipped(subject)
    try:
        verify(found)
        network = _loaded(subject)
    except WeightsError as error:
        raise CheckFailedError(f"{error}; pack them anew with `restorekit weights pack`") from error
    image = _restored(network, torch.linspace(0, 1, 3 * 64 * 64).view(1, 3, 64, 64))
    require(bool(torch.isfinite(image).all()), "with its shipped weights the restored image is not finite")


@torch.no_grad()
def _restored(network: nn.Module, degraded: Tensor) -> Tensor:
    padded, crop = pad_to_rule(degraded.to(PLACE.get()), SizeRule.of(network))
    return crop(Output.of(network(padded)).image.clamp(0, 1)).cpu()


@for_kinds("model")
def check_weights_gain_what_they_say(subject: Subject) -> None:
    """The gain that the manifest states has the right sign on the built-in pictures of the model's task."""
    found = shipped_weights(subject.component.entry)
    if found is None or not found.gain:
        raise CheckSkippedError("no manifest states its gain")
    verify(found)  # what is wrong with the file itself, the check before says
    network = _loaded(subject)
    try:
        gains = list(_gains(network, model_recipe(registry(), subject.component.id).task))
    except DataError as error:
        raise CheckSkippedError(f"there are no built-in pictures of its task: {error}") from error
    mean = sum(gains) / len(gains)
    require(
        mean * found.gain > 0,
        f"its manifest states a gain of {found.gain:+.2f} dB, and on {len(gains)} crops of the built-in pictures it is"
        f" {mean:+.2f} dB; measure it anew with `restorekit benchmark`, and pack the weights again",
    )


def _gains(network: nn.Module, task: str) -> Iterator[float]:
    """Yield the gain in dB of PSNR over the degraded image, for the middles of some built-in pictures."""
    for index in range(_IMAGES):
        sample = builtin_set("check", task).read(index)
        assert sample.clean is not None
        degraded, clean = (_middle(torch.from_numpy(plane.copy())) for plane in (sample.degraded, sample.clean))
        errors = [float(((image - clean) ** 2).mean()) for image in (degraded, _restored(network, degraded))]
        yield 10 * float(torch.log10(torch.tensor(errors[0] / errors[1])))


def _middle(pixels: Tensor) -> Tensor:
    top, left = ((size - _SIDE) // 2 for size in pixels.shape[:2])
    return pixels[top : top + _SIDE, left : left + _SIDE].permute(2, 0, 1)[None].float() / 255
