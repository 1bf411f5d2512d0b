"""A recipe's networks, built."""

from __future__ import annotations

import torch
from torch import nn

from restorekit.bounded import Bounded
from restorekit.contracts import built
from restorekit.errors import RecipeError
from restorekit.interface import WholeImagePrior
from restorekit.plugin.entry import Kind
from restorekit.plugin.registry import create
from restorekit.recipe import Recipe
from restorekit.recipe.parts import Named


def build_generator(recipe: Recipe) -> nn.Module:
    """Return the recipe's generator, initialised under the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = _created("generator", recipe.generator)
    return built(network, f"generator {recipe.generator.name!r}")


def build_discriminator(recipe: Recipe) -> nn.Module | None:
    """Return the recipe's discriminator, initialised under the recipe's seed; None without one."""
    if recipe.discriminator is None:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed + 1)
        network = _created("discriminator", recipe.discriminator)
    return built(network, f"discriminator {recipe.discriminator.name!r}")


def build_network(recipe: Recipe, name: str) -> nn.Module:
    """Return the network of the recipe's table `networks` that is called `name`, initialised under its seed.

    Raises `RecipeError` when there is none of that name.
    """
    if name not in recipe.networks:
        raise RecipeError(f"recipe {recipe.name!r} has no network {name!r}; give it in its table networks")
    network = recipe.networks[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed + 2 + list(recipe.networks).index(name))
        made = _created(network.kind, network)
    return built(made, f"{network.kind} {network.name!r}")


def _created(kind: Kind, chosen: Named) -> object:
    """Build a component from its settings. Raises `RecipeError`, too, when its weights do not fit the memory."""
    with Bounded(f"{kind} {chosen.name!r}"):
        return create(kind, chosen.name, **chosen.settings)


def per_image_prior(prior: object) -> bool:
    """Whether the prior looks at a whole image once (attribute ``per_image``) and not at each batch."""
    return isinstance(prior, WholeImagePrior) and bool(prior.per_image)
