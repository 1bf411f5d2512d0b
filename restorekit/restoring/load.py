"""From a model's name to a restorer: its weights, or training on each image where the model adapts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypedDict, TypeVar, Unpack, overload

from PIL import Image
from torch import Tensor, nn

from restorekit.engine.adapt.one_image import adapt
from restorekit.errors import PluginError, RecipeError, WeightsError
from restorekit.networks import build_generator
from restorekit.notices import notice_once
from restorekit.outofmemory import memory_named
from restorekit.plugin.registry import Component, registry
from restorekit.recipe import Recipe
from restorekit.recipe.check import model_recipe
from restorekit.restoring.blending import Blended, blend, check_strength
from restorekit.restoring.restorer import AdaptiveRestorer, BaseRestorer, Restorer
from restorekit.restoring.settings import Budget, RestorerInfo, Tile, TileSettings
from restorekit.weights import WeightsFile, find_weights, weights_state
from restorekit.weights.files import load_weights, recipe_of
from restorekit.weights.foreign import convert_foreign, is_foreign, read_foreign

_Kind = TypeVar("_Kind")


def width_label(recipe: Recipe, full: Recipe) -> str:
    """Say in which settings a generator differs from the model's own, such as ``width 8``; else ``full``."""
    if recipe.generator.name != full.generator.name:
        return f"generator {recipe.generator.name}"
    mine, own = recipe.generator.settings, full.generator.settings
    changed = [f"{k} {mine.get(k, 'default')}" for k in sorted(mine | own) if mine.get(k) != own.get(k)]
    return ", ".join(changed) or "full"


def _without_downloads(recipe: Recipe) -> Recipe:
    """Return the recipe without pretrained parts: trained weights replace them anyway."""
    if "pretrained" not in recipe.generator.settings:
        return recipe
    generator = recipe.generator.model_copy(update={"pretrained": False, "weights": ""})
    return recipe.model_copy(update={"generator": generator})


def _check_model(component: Component, recipe: Recipe, file: WeightsFile) -> None:
    """Refuse weights that were trained as another installed model: tables would show them under a wrong name."""
    others = {c.entry.name for c in registry().components("model")} - {component.entry.name}
    if recipe.name in others:
        raise WeightsError(
            f"{file.path} holds weights of model {recipe.name!r}, not of {component.entry.name!r}; use --model"
            f" {recipe.name}"
        )


def load_generator(component: Component, file: WeightsFile) -> tuple[nn.Module, Recipe]:
    """Return the network of a weights file and the recipe that it carries, or else the model's own.

    A checkpoint from elsewhere is read as `restorekit weights import` reads it. Raises `WeightsError` when the file is
    damaged, does not fit or is of another model.
    """
    if is_foreign(file.path):
        return _foreign_generator(component, file.path)
    carried = recipe_of(file.path)
    recipe = carried or model_recipe(registry(), component.id)
    _check_model(component, recipe, file)
    try:
        network = build_generator(_without_downloads(recipe))
    except (PluginError, RecipeError) as error:
        if carried is None:
            raise
        raise WeightsError(f"the recipe in {file.path} cannot be used: {error}") from error
    load_weights(file.path, network)
    return network, recipe


def _foreign_generator(component: Component, path: Path) -> tuple[nn.Module, Recipe]:
    recipe = model_recipe(registry(), component.id)
    network = build_generator(_without_downloads(recipe))
    foreign = read_foreign(path)
    convert_foreign(network, foreign.state, str(path))
    if foreign.choice:
        notice_once(
            f"{path}: {foreign.choice}; `restorekit weights import {component.entry.name} {path} --key` chooses another"
        )
    return network, recipe


def _info(
    component: Component, recipe: Recipe, weights: str, strength: float, adaptive: bool = False, learns: bool = True
) -> RestorerInfo:
    full = model_recipe(registry(), component.id)
    return RestorerInfo(
        model=registry().unique_name(component),
        task=recipe.task,
        weights=weights,
        width=width_label(recipe, full),
        recipe_digest=recipe.digest(),
        adaptive=adaptive,
        learns=learns,
        strength=strength,
    )


class LoadSettings(TypedDict, total=False):
    """The settings of `load`, beside model and weights."""

    device: str
    precision: str
    tile: Tile
    flips: bool
    strength: float
    budget: Budget | None


def _adaptive(
    component: Component,
    device: str,
    precision: str,
    budget: Budget | None,
    strength: float,
    **options: Unpack[TileSettings],
) -> BaseRestorer:
    recipe = model_recipe(registry(), component.id)

    def learn(image: Tensor, limit: Budget) -> nn.Module | Tensor:
        learned = adapt(recipe, image, device=device, precision=precision, steps=limit.steps, seconds=limit.seconds)
        return blend(learned, image, strength)

    trained = recipe.adapt is None or recipe.adapt.output == "prediction"
    network = build_generator(recipe) if trained else None
    weights = "learns each image" if trained else "needs none"
    info = _info(component, recipe, weights, strength, adaptive=True, learns=trained)
    return AdaptiveRestorer(learn, budget, generator=network, device=device, precision=precision, info=info, **options)


@memory_named("to load the model", "choose a smaller model or another --device")
def load(
    model: str,
    weights: str | Path | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    tile: Tile = "auto",
    flips: bool = False,
    strength: float = 1.0,
    budget: Budget | None = None,
) -> BaseRestorer:
    """Return a restorer of an installed model.

    `weights`: a file, a run folder, a name in the user's folder or ``hf://owner/repo``; without it, the user's own
    or the shipped weights. A model that adapts learns each image, for `budget` at most, when it has no weights; and
    when it has some but a budget and no `weights` are given. `strength`: how much of the result is blended with the
    input, 0 to 1.

    Raises `UnknownNameError`, `WeightsError` when there are no weights (saying how to train some), and
    `RestorekitError` for an unknown device or precision, or another strength.
    """
    check_strength(strength)
    component = registry().find("model", model)
    options: TileSettings = {"tile": tile, "flips": flips}
    if weights in (None, component.entry.name) and weights_state(component.entry) == "adapts":
        return _adaptive(component, device, precision, budget, strength, **options)
    if weights is None and component.entry.adapts and budget:
        return _adaptive(component, device, precision, budget, strength, **options)
    file = find_weights(component, weights)
    network, recipe = load_generator(component, file)
    info = replace(_info(component, recipe, file.source, strength), seen=file.seen)
    network = Blended(network, strength) if strength != 1 else network
    return Restorer(network, device=device, precision=precision, info=info, **options)


@overload
def restore(
    image: str | Path, model: str, weights: str | Path | None = None, **options: Unpack[LoadSettings]
) -> Image.Image: ...
@overload
def restore(image: _Kind, model: str, weights: str | Path | None = None, **options: Unpack[LoadSettings]) -> _Kind: ...
def restore(image: object, model: str, weights: str | Path | None = None, **options: Unpack[LoadSettings]) -> object:
    """Restore one image of any kind with a model and return the same kind; `options` as for `load`.

    For several images, `load` the model once and call its ``restore``.
    """
    return load(model, weights, **options).restore(image)
