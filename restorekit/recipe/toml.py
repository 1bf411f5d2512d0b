"""Recipes as TOML text, in and out without loss."""

from __future__ import annotations

import tomllib
from pathlib import Path

import tomli_w

from restorekit.errors import RecipeError
from restorekit.recipe.model import Recipe


def to_toml(recipe: Recipe) -> str:
    """Return the recipe as TOML, with every field that has a value."""
    return tomli_w.dumps(recipe.plain())


def from_toml(text: str, origin: str = "recipe") -> Recipe:
    """Read a recipe from TOML text; `origin` names it in errors.

    Raises `RecipeError` when the text is not TOML or not a valid recipe.
    """
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also integers of more digits than Python reads
        raise RecipeError(f"{origin} is not valid TOML: {error}") from error
    return Recipe.read(values)


def read_recipe_file(path: Path) -> Recipe:
    """Read a recipe file. Raises `RecipeError` when it cannot be read or is not valid."""
    try:
        return from_toml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe file {path} cannot be read: {error}") from error
