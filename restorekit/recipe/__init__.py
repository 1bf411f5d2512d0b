"""Recipes: a model as data. Importing this package does not import torch."""

from restorekit.recipe.model import Recipe
from restorekit.recipe.overrides import apply_overrides
from restorekit.recipe.toml import from_toml, to_toml

__all__ = ["Recipe", "apply_overrides", "from_toml", "to_toml"]
