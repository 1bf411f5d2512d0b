"""Does a recipe hold together? Judged from declarations alone, without importing a network."""

from __future__ import annotations

from collections.abc import Callable

from restorekit.errors import RecipeError, RestorekitError
from restorekit.plugin.entry import Kind
from restorekit.plugin.registry import Component, Registry, broken
from restorekit.recipe.model import Recipe


def components_of(recipe: Recipe, registry: Registry) -> list[Component]:
    """Return every component that the recipe names.

    Raises `UnknownNameError` for one that is not installed.
    """
    named: list[tuple[Kind, str]] = [("generator", recipe.generator.name)]
    if recipe.discriminator:
        named.append(("discriminator", recipe.discriminator.name))
    if recipe.prior:
        named.append(("prior", recipe.prior.name))
    if recipe.procedure:
        named.append(("procedure", recipe.procedure.name))
    named += [(network.kind, network.name) for network in recipe.networks.values()]
    own = [name for phase in recipe.phases.own.values() for name in phase.losses]
    named += [("loss", name) for name in (*recipe.losses, *recipe.critic_losses, *own)]
    if recipe.data.synthesis:
        named.append(("synthesizer", recipe.data.synthesis.task))
    return [registry.find(kind, name) for kind, name in named]


def _without_idle_losses(recipe: Recipe) -> Recipe:
    """Return the recipe without its losses of weight 0. Raises `RecipeError` when a phase has no others."""
    tables = {"losses": recipe.losses, "critic_losses": recipe.critic_losses}
    kept = {table: {name: term for name, term in terms.items() if term.weight} for table, terms in tables.items()}
    if not kept["losses"]:
        raise RecipeError(
            f"recipe {recipe.name!r}: every loss has weight 0, and nothing is learned; give one of them another"
        )
    if recipe.discriminator and not kept["critic_losses"]:
        raise RecipeError(
            f"recipe {recipe.name!r}: every critic loss has weight 0, and the discriminator learns nothing; to train"
            " without it, set discriminator=none and critic_losses=none"
        )
    return recipe.model_copy(update=kept)


def _check_critic(recipe: Recipe, registry: Registry) -> None:
    """Refuse critic losses of which none looks at the discriminator: it could not learn."""
    if not recipe.discriminator or recipe.procedure:
        return
    discriminator = registry.find("discriminator", recipe.discriminator.name)
    losses = [registry.find("loss", name) for name in recipe.critic_losses]
    if not any(set(loss.entry.needs) & set(discriminator.entry.gives) for loss in losses):
        raise RecipeError(
            f"recipe {recipe.name!r}: none of its critic losses ({', '.join(recipe.critic_losses)}) needs what the"
            f" discriminator {recipe.discriminator.name!r} gives ({', '.join(sorted(discriminator.entry.gives))}), so"
            " that it would learn nothing; add one that does, such as critic"
        )


def _who_gives(what: str, registry: Registry) -> str:
    kinds: tuple[Kind, ...] = ("prior", "generator", "discriminator", "synthesizer")
    givers = [
        f"{kind} {registry.unique_name(component)!r}"
        for kind in kinds
        for component in registry.components(kind)
        if what in component.entry.gives
    ]
    if what == "clean":
        givers.append("a paired data set")
    return " or ".join(givers) or "nothing that is installed"


def check_recipe(recipe: Recipe, registry: Registry, paired: bool = True, masks: bool = False) -> None:
    """Refuse a recipe whose components need what nobody in it gives.

    `paired` and `masks` say whether the data bring clean images and masks.

    Raises `RecipeError` naming who needs what and who would give it, or `UnknownNameError`.
    """
    registry.find("task", recipe.task)
    components_of(recipe, registry)  # the names of idle losses must be right, too
    active = _without_idle_losses(recipe)
    _check_critic(active, registry)
    components = components_of(active, registry)
    given = {"clean"} if paired or recipe.data.synthesis else set()
    if masks:
        given.add("mask")
    given |= {name for component in components for name in component.entry.gives}
    problems = [
        f"{component.entry.kind} {registry.unique_name(component)!r} needs {need!r}, which nothing in the"
        f" recipe gives; {_who_gives(need, registry)} would give it"
        for component in components
        for need in sorted(component.entry.needs)
        if need not in given
    ]
    if problems:
        raise RecipeError(f"recipe {recipe.name!r} cannot be trained: {'; '.join(problems)}.")


def _called(component: Component, target: Callable[[], object]) -> object:
    try:
        return target()
    except RestorekitError:
        raise
    except Exception as error:
        raise broken(component, "making its recipe", error) from error


def model_recipe(registry: Registry, name: str) -> Recipe:
    """Return the recipe of an installed model. Raises `UnknownNameError`, `RecipeError` or `PluginError`."""
    component = registry.find("model", name)
    target = component.load()
    recipe = target if isinstance(target, Recipe) else _called(component, target)
    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"model {component.id!r} gave a {type(recipe).__name__}; its target must be a Recipe or return one"
        )
    return recipe
