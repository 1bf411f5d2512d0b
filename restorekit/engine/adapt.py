"""Training on the one image that is to be restored."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from restorekit.data.crops import CropSource
from restorekit.data.imageset import ImageSet, RawSample
from restorekit.engine.engine import Engine
from restorekit.engine.feed import Feed
from restorekit.engine.references import referencer_of
from restorekit.engine.runtime import Runtime
from restorekit.engine.task import size_rule_of
from restorekit.errors import RecipeError
from restorekit.recipe import Recipe
from restorekit.recipe.parts import Augment


def _single_image_recipe(recipe: Recipe, steps: int | None) -> Recipe:
    """Return the recipe of one image: whole, one at a time, not augmented."""
    if recipe.adapt is None:
        raise RecipeError(
            f"recipe {recipe.name!r} does not say how to adapt to one image; give it a table 'adapt', or"
            " weights that were trained"
        )
    data = recipe.data.model_copy(update={"crop": 0, "batch": 1, "augment": Augment(flip=False)})
    return recipe.model_copy(update={"data": data, "steps": steps or recipe.adapt.steps, "accumulate": 1})


def _one_image(image_1CHW: Tensor) -> ImageSet:
    pixels = (image_1CHW[0] * 255).round().clamp(0, 255).to(torch.uint8).movedim(0, -1).cpu().numpy()
    return ImageSet("image", "", False, ("image",), "", lambda index: RawSample("image", pixels))


def adapt(
    recipe: Recipe,
    image_1CHW: Tensor,
    *,
    device: str = "auto",
    precision: str = "auto",
    steps: int | None = None,
    seconds: float | None = None,
) -> nn.Module:
    """Train a fresh network on one image [1, 3, H, W] in [0, 1], and return it, ready to restore that image.

    Ends after `steps` (default: the recipe's) or, if sooner, `seconds` of wall-clock time (default: the recipe's;
    0 or None: no limit), but not before the first step.

    Raises `RecipeError` when the recipe does not say how to adapt.
    """
    started = time.monotonic()
    single = _single_image_recipe(recipe, steps)
    assert single.adapt is not None
    limit = seconds if seconds is not None else single.adapt.seconds
    runtime = Runtime(device, precision)
    engine = Engine(single, runtime)
    rule = size_rule_of(engine.generator)
    source = CropSource(_one_image(image_1CHW), single.data, rule, referencer_of(engine.task.prior, runtime.device))
    for step, batch in enumerate(Feed(source, single.seed, runtime.share).batches(0, single.steps)):
        engine.step(step, batch)
        if limit and time.monotonic() - started >= limit:
            break
    return engine.best_generator.eval()
