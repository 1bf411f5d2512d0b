"""Whether data, recipe and network fit together, and what a run notes about them before it starts."""

from __future__ import annotations

from pathlib import Path

from restorekit.data.imageset import ImageSet
from restorekit.devices import device_name
from restorekit.engine.runtime import Runtime
from restorekit.errors import DataError, RecipeError
from restorekit.interface import SizeRule
from restorekit.recipe import Recipe
from restorekit.version import __version__
from restorekit.weights.manifest import file_sha256


def brings_masks(images: ImageSet) -> bool:
    """Whether the samples of a set have masks of their own."""
    try:
        return images.read(0).mask is not None
    except DataError:  # said when it is its turn
        return False


def check_crop(recipe: Recipe, rule: SizeRule) -> None:
    """Raise `RecipeError` when the generator cannot take the recipe's crops."""
    side = recipe.data.crop
    if side and rule.padded(side) != side:
        raise RecipeError(
            f"data.crop is {side}; generator {recipe.generator.name!r} takes multiples of {rule.multiple}, at"
            f" least {rule.minimum}. Set data.crop={rule.padded(side)}"
        )


def check_degraded_first(recipe: Recipe) -> None:
    """Raise `RecipeError` when crops are degraded behind the back of a prior that looks at whole images."""
    data = recipe.data
    late = "data.synthesis" if data.synthesis else "data.augment.drops" if data.augment.drops else ""
    if late:
        raise RecipeError(
            f"{late} degrades crops, and the prior of {recipe.name!r} looks at whole images before that: it"
            " would see the clean ones. Write degraded images first, with `restorekit data synthesize`, and train"
            f" on their folder, with {late} left out"
        )


Identity = dict[str, str | int]
Facts = dict[str, Identity | str | int | None]
"""What is noted about a run beside its recipe."""


def _identity(images: ImageSet | None) -> Identity | None:
    if images is None:
        return None
    return {"label": images.label, "images": len(images), "fingerprint": images.fingerprint}


def run_facts(images: ImageSet, validation: ImageSet | None, init: Path | None, runtime: Runtime) -> Facts:
    """Return what identifies a run beside its recipe, and where it ran."""
    return {
        "data": _identity(images),
        "validation": _identity(validation),
        "version": __version__,
        "device": device_name(runtime.device),
        "precision": runtime.precision,
        "init": file_sha256(init) if init else None,
        "processes": runtime.share.world,
    }
