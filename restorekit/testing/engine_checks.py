"""Checks of models that train: on a few made-up pairs, on the CPU, in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor, nn

from restorekit.data.imageset import ImageSet, RawSample
from restorekit.engine import Options, train
from restorekit.engine.step.task import make_task
from restorekit.interface import SizeRule
from restorekit.leftovers import temporary
from restorekit.networks import build_generator
from restorekit.pixels import to_pixels
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe
from restorekit.recipe.model import merged
from restorekit.termination import pass_on
from restorekit.testing.check import PLACE, CheckSkippedError, Subject, for_kinds, require
from restorekit.testing.model_checks import runnable_recipe
from restorekit.testing.samples import batch

OnStep = Callable[[int, dict[str, float]], None]

_STEPS = 10
_SIDE = 32  # pixels, or as many as the generator wants
_NEVER = 10**6
_TOLERANCE = 1e-4


def _pairs(count: int, side: int) -> ImageSet:
    """Return made-up pairs [side, side] as a data set in memory."""
    data = batch(count, side, side)
    assert data.clean is not None
    assert data.mask is not None
    degraded, clean = (to_pixels(images) for images in (data.degraded, data.clean))
    mask = to_pixels(data.mask)[..., 0]

    def read(index: int) -> RawSample:
        return RawSample(data.name[index], degraded[index], clean[index], mask[index])

    return ImageSet("made-up@check", "", True, data.name, f"check-{count}-{side}", read)


def _small(recipe: Recipe, changes: Mapping[str, object]) -> tuple[Recipe, int]:
    """Return the recipe for a very short run on small images as they are, and the side of those."""
    side = SizeRule.of(build_generator(recipe)).padded(_SIDE)
    small = {
        "data": {
            "crop": side,
            "batch": 2,
            "resize": 0,
            "workers": 0,
            "augment": {"flip": False, "vertical_flip": False, "rotate": False, "brightness": 0, "drops": 0},
        },
        "schedule": {"name": "constant", "warmup": 0},
        "steps": _STEPS,
        "accumulate": 1,
        "precision": "fp32",
        "eval_every": _NEVER,
        "save_every": _NEVER,
    }
    plain = recipe.plain()
    plain["data"].pop("synthesis", None)
    return Recipe.read(merged(merged(plain, small), changes)), side


def _train(recipe: Recipe, pairs: ImageSet, run: Path, last: int, on_step: OnStep | None = None) -> None:
    """Train up to step `last`. A signal ends a run early and in order; here it ends the checks too."""
    options = Options(device=PLACE.get(), compile="off", max_steps=last, log_every=1)
    pass_on(train(recipe, pairs, run, options=options, on_step=on_step).exit_code)


def _weights(run: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(run / "weights" / "last.safetensors")


def _largest_difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    return max(float((one[n].double() - other[n].double()).abs().max()) for n in one)


def _watched(recipe: Recipe) -> tuple[str, list[str]]:
    """Return phase and names of the terms that must fall: judged terms rise as the critic learns."""
    found = registry()
    judged = {"logits"} | {g for c in found.components("discriminator") for g in c.entry.gives}
    free = [n for n in recipe.losses if not judged & set(found.find("loss", n).entry.needs)]
    return ("generator", free) if free else ("discriminator", list(recipe.critic_losses))


@for_kinds("model", engine=True)
def check_few_steps_lower_the_loss(subject: Subject) -> None:
    """Trained on one small pair over and over, its loss falls."""
    recipe, side = _small(runnable_recipe(subject), {})
    phase, names = _watched(recipe)
    terms = recipe.losses if phase == "generator" else recipe.critic_losses
    values: list[float] = []

    def on_step(step: int, logged: dict[str, float]) -> None:
        values.append(sum(terms[n].weight * _logged(logged, f"{phase}/{n}") for n in names))

    with temporary("check") as folder:
        _train(recipe, _pairs(2, side), folder / "run", _STEPS, on_step)
    first, last = sum(values[:3]) / 3, sum(values[-3:]) / 3
    require(
        last < first,
        f"over {_STEPS} steps on one pair its loss ({' + '.join(names)}) went from {first:.4g} to {last:.4g};"
        " check the sign of the losses, the learning rate and that the optimizer sees all parameters",
    )


def _logged(logged: Mapping[str, float], name: str) -> float:
    require(name in logged, f"the engine logged {sorted(logged)} and no term {name!r}")
    return logged[name]


@for_kinds("model", engine=True)
def check_resumes_exactly(subject: Subject) -> None:
    """Four steps give, bit for bit, the weights of two steps, a stop, and two more."""
    recipe, side = _small(runnable_recipe(subject), {"steps": 4})
    pairs = _pairs(4, side)
    with temporary("check") as folder:
        whole, parts = folder / "whole", folder / "parts"
        _train(recipe, pairs, whole, 4)
        for last in (2, 4):
            _train(recipe, pairs, parts, last)
        difference = _largest_difference(_weights(whole), _weights(parts))
    require(
        difference == 0,
        f"weights behind a stop and a resume differ by up to {difference:.3g}; what changes while training"
        " must be a parameter or a registered buffer, and noise must come from torch's random state",
    )


@for_kinds("model", engine=True)
def check_accumulates(subject: Subject) -> None:
    """A batch of eight gives, but for rounding, the weights of two micro-batches of four."""
    sgd = {"name": "sgd", "lr": 1e-3, "weight_decay": 0.0}  # Adam would blow rounding up to whole steps
    changes = {
        "steps": 2,
        "ema": 0.0,
        "data": {"batch": 8},
        "optim": {"generator": sgd, "discriminator": sgd},
    }
    recipe, side = _small(runnable_recipe(subject), changes)
    _skip_if_batch_dependent(recipe)
    pairs = _pairs(8, side)
    with temporary("check") as folder:
        runs = {n: folder / str(n) for n in (1, 2)}
        for parts, run in runs.items():
            _train(Recipe.read({**recipe.plain(), "accumulate": parts}), pairs, run, 2)
        one, two = (_weights(run) for run in runs.values())
    moved = _largest_difference(one, build_generator(recipe).state_dict())
    difference = _largest_difference(one, two)
    require(
        difference <= _TOLERANCE * max(moved, 1e-8) + 1e-7,
        f"two micro-batches of four give weights that differ by {difference:.3g}, where training moved them"
        f" by {moved:.3g}; losses must be means over the samples",
    )


def _skip_if_batch_dependent(recipe: Recipe) -> None:
    for network in make_task(recipe).networks.values():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd):
                raise CheckSkippedError(f"{type(module).__name__} cannot be split into micro-batches exactly")
