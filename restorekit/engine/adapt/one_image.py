"""Training on the one image that is to be restored."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from restorekit.data.crops import CropSource
from restorekit.data.imageset import ImageSet, RawSample
from restorekit.engine.adapt.earlystop import EarlyStop, View
from restorekit.engine.feed.batches import Feed
from restorekit.engine.feed.references import referencer_of
from restorekit.engine.runtime import Runtime
from restorekit.engine.step.engine import Engine
from restorekit.errors import RecipeError
from restorekit.interface import Batch, SizeRule
from restorekit.notices import notice_once
from restorekit.pixels import Pixels, to_levels, to_pixels, unit
from restorekit.plugin.registry import create
from restorekit.recipe import Recipe
from restorekit.recipe.parts import Adapt, Augment

_HELD_OUT = 10  # one reference in so many
_PACE = 2  # steps that show how long the others will take
_WHOLE_CACHE = 10**6  # MiB: the one image stays in memory with its references, whatever its size


def _adapt_of(recipe: Recipe) -> Adapt:
    if recipe.adapt is None:
        raise RecipeError(
            f"recipe {recipe.name!r} does not say how to adapt to one image; give it a table 'adapt', or"
            " weights that were trained"
        )
    return recipe.adapt


def _single_image_recipe(recipe: Recipe, steps: int | None, crop: int) -> Recipe:
    """Return the recipe of one image: whole or in crops, one at a time, not augmented."""
    changes = {"crop": crop, "batch": 1, "augment": Augment(flip=False), "cache": _WHOLE_CACHE}
    data = recipe.data.model_copy(update=changes)
    return recipe.model_copy(update={"data": data, "steps": steps or _adapt_of(recipe).steps, "accumulate": 1})


def _crop_side(image: Tensor, pixels: int, rule: SizeRule) -> int:
    """Return 0 (the whole image) or, for an image of more than `pixels`, the side of its square crops."""
    if not pixels or image.shape[-2] * image.shape[-1] <= pixels:
        return 0
    return rule.padded(max(1, math.isqrt(pixels) // rule.multiple * rule.multiple))


def _pixels(image_1CHW: Tensor) -> Pixels:
    return to_pixels(image_1CHW[0])


def _one_image(pixels: Pixels) -> ImageSet:
    return ImageSet("image", "", False, ("image",), "", lambda index: RawSample("image", pixels))


def references_mean(recipe: Recipe, image_1CHW: Tensor, device: torch.device) -> Tensor:
    """Return the mean of the references that the recipe's prior gives for an image: [1, 3, H, W].

    Raises `RecipeError` when the recipe has no prior that gives references.
    """
    prior = create("prior", recipe.prior.name, **recipe.prior.settings).to(device) if recipe.prior else None
    found = prior(Batch(image_1CHW.to(device), key=torch.tensor([0]))).references if prior else None
    if found is None:
        raise RecipeError(
            f"recipe {recipe.name!r}: adapt.output is 'references' and its prior gives none; use a prior that"
            " gives 'references', or adapt.output='prediction'"
        )
    mean: Tensor = found.mean(dim=1)
    return mean.to(image_1CHW.device)


def _split_references(found: Pixels, recipe: Recipe) -> tuple[Pixels, Pixels]:
    """Return the references [K, H, W, C] to learn from, and those held out. Raises `RecipeError` when K is 1."""
    if len(found) < 2:
        raise RecipeError(
            f"recipe {recipe.name!r}: adapt.patience holds references out, and its prior gives only one for an"
            " image; use patience=0, or a prior with several (samples, and no expectation)"
        )
    held_out = max(1, len(found) // _HELD_OUT)
    return found[:-held_out], found[-held_out:]


@dataclass(frozen=True)
class _Clock:
    """The time that is left, of `limit` seconds since `started` (0: no limit)."""

    limit: float
    started: float

    def over(self) -> bool:
        """Whether no time is left."""
        return bool(self.limit) and time.monotonic() - self.started >= self.limit

    def too_slow(self, done: int, began: float, least: int) -> bool:
        """Whether `least` steps, at the pace of the `done` since `began`, would take more than twice the limit."""
        if not self.limit or not _PACE <= done < least:
            return False
        return (time.monotonic() - began) / done * least > 2 * self.limit


def adapt(
    recipe: Recipe,
    image_1CHW: Tensor,
    *,
    device: str = "auto",
    precision: str = "auto",
    steps: int | None = None,
    seconds: float | None = None,
) -> nn.Module | Tensor:
    """Train a fresh network on one image [1, 3, H, W] in [0, 1], and return it, ready to restore that image.

    Ends after `steps` (default: the recipe's) or, if sooner, `seconds` of wall-clock time, references included
    (default: the recipe's; 0 or None: no limit), but not before the first step; or when the held-out references have
    not come closer for ``adapt.patience`` steps. An image of more than ``adapt.pixels`` is learned in crops.

    Returns the references' mean, [1, 3, H, W], in two cases: with ``adapt.output = "references"``, where nothing is
    trained; and with ``adapt.fallback`` > 0, where a network that `steps` or `seconds` cut short counts only after so
    many steps, and when it is no further (root mean square) from that mean than the input is. Training that cannot get
    so far is left out, or given up as soon as its pace is known.

    Raises `RecipeError` when the recipe does not say how to adapt, or lacks what that needs.
    """
    started = time.monotonic()
    wanted = _adapt_of(recipe)
    runtime = Runtime(device, precision)
    if wanted.output == "references":
        return references_mean(recipe, image_1CHW, runtime.device)
    clock = _Clock(seconds if seconds is not None else wanted.seconds, started)
    return _learn(recipe, image_1CHW, runtime, steps, clock)


def _learn(recipe: Recipe, image: Tensor, runtime: Runtime, steps: int | None, clock: _Clock) -> nn.Module | Tensor:
    wanted = _adapt_of(recipe)
    engine = Engine(_single_image_recipe(recipe, steps, 0), runtime)
    rule = SizeRule.of(engine.generator)
    side = _crop_side(image, wanted.pixels, rule)
    single = _single_image_recipe(recipe, steps, side)
    pixels, view = _pixels(image), View(image, side, rule, runtime)
    referencer = referencer_of(engine.task.prior, runtime.device)
    found = learned = referencer(pixels, 0) if referencer else None
    stop = None
    if wanted.patience and found is not None:
        learned, held_out = _split_references(found, recipe)
        stop = EarlyStop(wanted.patience, view, view.mean_of(held_out))
    source = CropSource(_one_image(pixels), single.data, rule, None if learned is None else lambda *_: learned)
    batches = Feed(source, single.seed, runtime.share).batches(0, single.steps)
    useless = single.steps < min(wanted.fallback, wanted.steps)
    done = 0 if useless else _train(engine, batches, stop, clock, wanted.fallback)
    network = engine.best_generator
    cut_short = done < wanted.steps and not (stop and stop.gave_up)
    if cut_short and done < wanted.fallback:
        return _fallen_back(recipe, _mean(found, recipe, image, runtime.device))
    if stop:
        stop.look(done - 1, network)
        stop.restore_best(network)
    restored = view.restored_by(network)
    if cut_short and wanted.fallback:
        mean = _mean(found, recipe, image, runtime.device)
        if view.astray(restored, mean):
            return _fallen_back(recipe, mean)
    return network.eval()


def _train(engine: Engine, batches: Iterable[Batch], stop: EarlyStop | None, clock: _Clock, fallback: int) -> int:
    """Train until the batches or the time end, or the held-out references come no closer; return the steps made.

    Without a `fallback` the first step is made in any case.
    """
    done, began = 0, time.monotonic()
    for step, batch in enumerate(batches):
        if (stop and stop.gave_up) or clock.too_slow(step, began, fallback):
            break
        if clock.over() and (step or fallback):
            break
        engine.step(step, batch)
        done = step + 1
        if stop and stop.due(step):
            stop.look(step, engine.best_generator)
    return done


def _fallen_back(recipe: Recipe, mean: Tensor) -> Tensor:
    notice_once(
        f"{recipe.name}: the budget is too small to learn an image of this size here; the result is the mean of its"
        " references, as for every such image. A larger --budget-seconds or --budget-steps lets the network learn"
    )
    return mean


def _mean(found: Pixels | None, recipe: Recipe, image: Tensor, device: torch.device) -> Tensor:
    """Return the mean [1, C, H, W] of the references [K, H, W, C], or of those that the prior gives now.

    What 8 bits cannot hold of the image is added again.
    """
    if found is None:
        return references_mean(recipe, image, device)
    mean = torch.from_numpy(found.mean(axis=0, dtype=np.float32)).movedim(-1, 0)[None]
    finer = image - unit(to_levels(image))
    return unit(mean.to(image.device)) + finer
