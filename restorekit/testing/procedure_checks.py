"""Checks of procedures: what they hand to the engine is a task whose phases can be trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restorekit.contracts import restored
from restorekit.engine.step.task import Task, TaskPhase, make_task
from restorekit.errors import RecipeError, RestorekitError
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe
from restorekit.recipe.check import model_recipe
from restorekit.testing.check import CheckFailedError, CheckSkippedError, Subject, for_kinds, require
from restorekit.testing.model_checks import small_batch
from restorekit.testing.samples import finite, seeded

_PLAIN = {"name": "check", "task": "raindrop", "generator": "core/unet", "losses": {"core/l1": {}}}


def _recipe(subject: Subject) -> tuple[Recipe, bool]:
    """Return the recipe of a model that trains by the procedure, and true; else the plainest one, and false."""
    for model in registry().components("model"):
        try:
            recipe = model_recipe(registry(), model.id)
        except RestorekitError:  # that model's own checks say so
            continue
        if recipe.procedure and registry().find("procedure", recipe.procedure.name).id == subject.component.id:
            return recipe, True
    return Recipe.read({**_PLAIN, "procedure": {"name": subject.component.id}}), False


def _task(subject: Subject) -> tuple[Recipe, Task]:
    recipe, own = _recipe(subject)
    with seeded():
        try:
            task = make_task(recipe)
        except RecipeError as error:
            if own or error.__cause__:  # with a cause, its own code failed
                raise
            raise CheckSkippedError(
                f"it asks more of a recipe than a generator and a loss ({error}); declare a model that trains by it,"
                " and it is tried with that"
            ) from error
    task.to(torch.device(subject.device))
    return recipe, task


@for_kinds("procedure", gate=True)
def check_gives_a_task(subject: Subject) -> None:
    """It takes a recipe, and gives networks, phases that train them, and the losses of each phase."""
    target = subject.component.load()
    require(callable(target), f"the target is a {type(target).__name__}; make it a class or function of the recipe")
    _, task = _task(subject)
    wrong = [name for name, network in task.networks.items() if not isinstance(network, nn.Module)]
    require(not wrong, f"its network {wrong[:1]} is no torch.nn.Module")
    require(task.phases, "it has no phases, and so trains nothing; give a tuple of TaskPhase")
    unfit = [type(phase).__name__ for phase in task.phases if not isinstance(phase, TaskPhase)]
    require(not unfit, f"its phases hold {', '.join(unfit)}; give TaskPhase(name, trains, timing, optim)")
    names = [phase.name for phase in task.phases]
    require(len({*names}) == len(names), f"its phases are called {names}; give each a name of its own")


@for_kinds("procedure")
def check_phases_train(subject: Subject) -> None:
    """Each phase gives finite terms, named as in `losses`, and their gradients reach the network that it trains."""
    recipe, task = _task(subject)
    data = small_batch(recipe, task)
    for phase in task.phases:
        for name, network in task.networks.items():
            network.train().requires_grad_(name == phase.trains).zero_grad(set_to_none=True)
        output = restored(task.forward(task.networks, data), data.degraded, "its forward")
        total = _total(task, phase.name, task.terms(phase.name, task.networks, data, output))
        require(total.requires_grad, f"the terms of phase {phase.name!r} carry no gradient")
        total.backward()  # type: ignore[no-untyped-call]
        reached = [p.grad for p in task.networks[phase.trains].parameters() if p.grad is not None]
        require(reached, f"in phase {phase.name!r} no gradient reaches the network {phase.trains!r}, which it trains")


def _total(task: Task, phase: str, given: object) -> Tensor:
    """Return the weighted sum of what `terms` gave for a phase."""
    if not (isinstance(given, tuple) and len(given) == 2 and all(isinstance(part, dict) for part in given)):
        raise CheckFailedError(
            f"terms gave a {type(given).__name__} in phase {phase!r}; return (terms, further scalars), two dicts"
        )
    terms, known = given[0], task.losses[phase]
    require(terms, f"phase {phase!r} has no terms, and so learns nothing")
    stray = [name for name in terms if name not in known]
    require(
        not stray, f"phase {phase!r} gives the term {stray[:1]}, and its losses are {', '.join(known)}; make them agree"
    )
    for name, term in terms.items():
        pair = isinstance(term, tuple) and len(term) == 2 and isinstance(term[1], Tensor) and term[1].dim() == 0
        require(pair, f"the term {name!r} of phase {phase!r} is no (weight, scalar tensor)")
        require(finite(term[1]), f"the term {name!r} of phase {phase!r} is {float(term[1].detach())}")
    return torch.stack([weight * value for weight, value in terms.values()]).sum()
