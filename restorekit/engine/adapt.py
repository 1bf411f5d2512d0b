"""Training on the one image that is to be restored."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from restorekit.data.crops import CropSource, Pixels
from restorekit.data.imageset import ImageSet, RawSample
from restorekit.engine.engine import Engine
from restorekit.engine.feed import Feed
from restorekit.engine.references import referencer_of
from restorekit.engine.runtime import Runtime
from restorekit.engine.task import size_rule_of
from restorekit.errors import RecipeError
from restorekit.padding import pad_to_rule
from restorekit.plugin.registry import create
from restorekit.recipe import Recipe
from restorekit.recipe.parts import Adapt, Augment
from restorekit.types import Batch, Output, SizeRule

_HELD_OUT = 10  # one reference in so many
_LOOKS = 5  # times that the held-out references are looked at per `patience` steps
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
    return (image_1CHW[0] * 255).round().clamp(0, 255).to(torch.uint8).movedim(0, -1).cpu().numpy()


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


@dataclass
class _EarlyStop:
    """Keeps the network that came closest to the held-out references, and says when to give up.

    The squared distance to the mean of the held-out references is, but for a constant, the mean squared distance to
    each of them.
    """

    patience: int
    image: Tensor
    held_out: Tensor
    rule: SizeRule
    best: float = math.inf
    best_step: int = 0
    state: dict[str, Tensor] = field(default_factory=dict)

    def due(self, step: int) -> bool:
        """Whether to look behind this step."""
        return (step + 1) % max(1, self.patience // _LOOKS) == 0

    @torch.no_grad()
    def gives_up(self, step: int, network: nn.Module, runtime: Runtime) -> bool:
        """Look at the network; return whether it has not improved for `patience` steps."""
        padded, crop = pad_to_rule(self.image, self.rule)
        network.eval()
        with runtime.autocast():
            restored = crop(Output.of(network(padded)).image).float()
        network.train()
        distance = float((restored - self.held_out).square().mean())
        if distance < self.best:
            self.best, self.best_step = distance, step
            self.state = copy.deepcopy(network.state_dict())
        return step - self.best_step >= self.patience

    def restore_best(self, network: nn.Module) -> None:
        """Put the best weights back."""
        if self.state:
            network.load_state_dict(self.state)


def _early_stop(
    recipe: Recipe, image: Tensor, held_out: Pixels, rule: SizeRule, runtime: Runtime, side: int
) -> _EarlyStop:
    """Look at the middle of a large image only: one look must not cost more than a step."""
    mean = torch.from_numpy(held_out.mean(axis=0, dtype=np.float32)).movedim(-1, 0)[None] / 255
    height, width = image.shape[-2:]
    size = side or max(height, width)
    top, left = max(0, (height - size) // 2), max(0, (width - size) // 2)
    middle = (..., slice(top, top + size), slice(left, left + size))
    device = runtime.device
    return _EarlyStop(_adapt_of(recipe).patience, image[middle].to(device), mean[middle].to(device), rule)


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
    not come closer for ``adapt.patience`` steps. An image of more than ``adapt.pixels`` is learned in crops. With
    ``adapt.output = "references"`` nothing is trained, and the references' mean is returned, [1, 3, H, W].

    Raises `RecipeError` when the recipe does not say how to adapt, or lacks what that needs.
    """
    started = time.monotonic()
    wanted = _adapt_of(recipe)
    runtime = Runtime(device, precision)
    if wanted.output == "references":
        return references_mean(recipe, image_1CHW, runtime.device)
    limit = seconds if seconds is not None else wanted.seconds

    def over() -> bool:
        return bool(limit) and time.monotonic() - started >= limit

    return _learn(recipe, image_1CHW, runtime, steps, over)


def _learn(recipe: Recipe, image: Tensor, runtime: Runtime, steps: int | None, over: Callable[[], bool]) -> nn.Module:
    wanted = _adapt_of(recipe)
    engine = Engine(_single_image_recipe(recipe, steps, 0), runtime)
    rule = size_rule_of(engine.generator)
    side = _crop_side(image, wanted.pixels, rule)
    single = _single_image_recipe(recipe, steps, side)
    pixels = _pixels(image)
    referencer = referencer_of(engine.task.prior, runtime.device)
    stop = None
    if wanted.patience and referencer:
        learned, held_out = _split_references(referencer(pixels, 0), recipe)
        stop = _early_stop(recipe, image, held_out, rule, runtime, side)
        referencer = lambda image, index: learned  # noqa: E731
    source = CropSource(_one_image(pixels), single.data, rule, referencer)
    for step, batch in enumerate(Feed(source, single.seed, runtime.share).batches(0, single.steps)):
        engine.step(step, batch)
        if over() or (stop and stop.due(step) and stop.gives_up(step, engine.best_generator, runtime)):
            break
    if stop:
        stop.restore_best(engine.best_generator)
    return engine.best_generator.eval()
