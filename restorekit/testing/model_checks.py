"""Checks of models that need no training engine: the recipe, and one step of its losses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restorekit.devices import pick_precision
from restorekit.engine.step.task import Task, TaskPhase, make_task
from restorekit.errors import RecipeError, WeightsError
from restorekit.interface import Batch, Output, SizeRule
from restorekit.networks import build_generator, per_image_prior
from restorekit.plugin.registry import create, registry
from restorekit.recipe import Recipe, from_toml, to_toml
from restorekit.recipe.check import check_recipe, model_recipe
from restorekit.testing.check import CheckFailedError, CheckSkippedError, Subject, for_kinds, require
from restorekit.testing.samples import batch, finite, image


def recipe_of(subject: Subject) -> Recipe:
    """Return the model's recipe, with the settings that the check was given for its generator."""
    recipe = model_recipe(registry(), subject.component.id)
    values = recipe.plain()
    values["generator"] |= dict(subject.settings)
    return Recipe.read(values)


def runnable_recipe(subject: Subject) -> Recipe:
    """Return the model's recipe without the losses whose pretrained weights are missing here.

    Those losses' own checks say that they were skipped. When no other loss is left, building the task raises
    `WeightsError`, and the check is skipped.
    """
    values = recipe_of(subject).plain()
    for table in ("losses", "critic_losses"):
        terms = values.get(table, {})
        kept = {name: term for name, term in terms.items() if _available(name, term)}
        values[table] = kept or terms
    return Recipe.read(values)


def _available(name: str, term: dict[str, object]) -> bool:
    try:
        create("loss", name, **{key: value for key, value in term.items() if key != "weight"})
    except WeightsError:
        return False
    return True


def small_batch(recipe: Recipe, task: Task, count: int = 2) -> Batch:
    """Return a small batch for the recipe; references are made up where a prior looks at whole images."""
    side = SizeRule.of(task.networks["generator"]).padded(64)
    data = batch(count, side, side)
    if per_image_prior(task.prior):
        assert data.clean is not None
        noise = 0.05 * image(3 * count, side, side, seed=5).view(count, 3, 3, side, side)
        data = data.replace(references=(data.clean.unsqueeze(1) + noise).clamp(0, 1))
    return task.prepare(data)


@for_kinds("model", gate=True)
def check_recipe_holds_together(subject: Subject) -> None:
    """Its recipe is valid, names installed components, and somebody gives what each of them needs."""
    recipe = recipe_of(subject)
    check_recipe(recipe, registry())
    tasks = subject.component.entry.tasks
    require(
        recipe.task in tasks,
        f"its recipe's task is {recipe.task!r} and its entry says tasks={tasks}; make them agree",
    )


@for_kinds("model")
def check_recipe_is_named_as_its_entry(subject: Subject) -> None:
    """Recipe and entry have one name: weights and tables carry the recipe's."""
    name, entry = recipe_of(subject).name, subject.component.entry.name
    require(name == entry, f"its recipe is called {name!r} and its entry {entry!r}; give both one name")


@for_kinds("model")
def check_recipe_round_trips(subject: Subject) -> None:
    """Its recipe goes through TOML without loss."""
    recipe = recipe_of(subject)
    difference = recipe.difference(from_toml(to_toml(recipe)))
    require(not difference, f"written as TOML and read again these fields differ: {'; '.join(difference)}")


@for_kinds("model")
def check_rejects_unknown_fields(subject: Subject) -> None:
    """A misspelt setting is refused when the networks are built, a misspelt field when it is read."""
    plain = recipe_of(subject).plain()
    try:
        Recipe.read({**plain, "no_such_field": 1})
    except RecipeError:
        plain["generator"]["no_such_setting"] = 1
        try:
            build_generator(Recipe.read(plain))
        except RecipeError:
            return
    raise CheckFailedError("it accepts an unknown field or setting; each generator must refuse unknown ones")


def _learn(task: Task, phase: TaskPhase, data: Batch) -> Tensor:
    """Return the weighted loss of a phase, with the other networks frozen, as the engine computes it."""
    learns = phase.trains == "generator"
    for name, network in task.networks.items():
        network.train().requires_grad_(name == phase.trains)
    with torch.set_grad_enabled(learns):
        output = task.forward(task.networks, data)
    if not learns and task.share_forward:
        output = output.detach()
    terms, _ = task.terms(phase.name, task.networks, data, output)
    for name, (_, value) in terms.items():
        require(finite(value), f"loss {name!r} of the {phase.name}'s phase is {float(value.detach())}")
    return torch.stack([weight * value for weight, value in terms.values()]).sum()


@for_kinds("model", gate=True)
def check_each_phase_trains_its_network(subject: Subject) -> None:
    """In each phase gradients reach all parameters of the trained network, and of no other."""
    recipe = runnable_recipe(subject)
    task = make_task(recipe)
    task.to(torch.device(subject.device))
    data = small_batch(recipe, task)
    trainable = {n: [p for p in net.parameters() if p.requires_grad] for n, net in task.networks.items()}
    for phase in task.phases:
        for network in task.networks.values():
            network.zero_grad(set_to_none=True)
        _learn(task, phase, data).backward()  # type: ignore[no-untyped-call]
        for name, network in task.networks.items():
            _require_gradients(phase.trains, name, network, trainable[name])


def _require_gradients(trains: str, name: str, network: nn.Module, trainable: list[nn.Parameter]) -> None:
    wanted = {id(p) for p in trainable} if name == trains else set()
    reached = {id(p) for p in network.parameters() if p.grad is not None}
    names = {id(p): n for n, p in network.named_parameters()}
    missed = [names[i] for i in names if i in wanted - reached]
    require(not missed, f"in the {trains}'s phase no gradient reaches its {', '.join(missed[:5])}")
    require(not reached - wanted, f"in the {trains}'s phase gradients reach the {name}")
    require(finite([p.grad for p in network.parameters() if p.grad is not None]), f"gradients of the {name}")


@for_kinds("model")
def check_losses_finite_under_bfloat16(subject: Subject) -> None:
    """Every loss term of every phase is finite when the networks run under bfloat16 autocast.

    Skipped where bfloat16 is only emulated: a discriminator of full width would take many minutes.
    """
    if pick_precision("auto", torch.device(subject.device)) != "bf16":
        raise CheckSkippedError("this device only emulates bfloat16 (a CPU without AVX512-BF16 and AMX does)")
    recipe = runnable_recipe(subject)
    task = make_task(recipe)
    task.to(torch.device(subject.device))
    data = small_batch(recipe, task)
    for phase in task.phases:
        with torch.autocast(data.degraded.device.type, dtype=torch.bfloat16):
            _learn(task, phase, data)


@for_kinds("model")
@torch.no_grad()
def check_restores_odd_sizes(subject: Subject) -> None:
    """An untrained network restores a picture of odd size, padded to its rule, to finite values in [0, 1]."""
    recipe = runnable_recipe(subject)
    network = build_generator(recipe).eval().to(subject.device)
    rule = SizeRule.of(network)
    degraded = batch(1, rule.padded(37), rule.padded(61)).degraded
    restored = Output.of(network(degraded)).image[..., :37, :61].clamp(0, 1)
    require(tuple(restored.shape) == (1, 3, 37, 61), f"its image has the shape {tuple(restored.shape)}")
    require(finite(restored), "its image has values that are not finite")
