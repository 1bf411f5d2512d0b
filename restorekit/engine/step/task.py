"""A task: the networks of a run, its phases, and the loss terms of each phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from restorekit.contracts import expect, restored, scalar
from restorekit.errors import PluginError
from restorekit.interface import Batch, Judgement, Loss, LossInput, Output
from restorekit.losses.accuracy import accuracy
from restorekit.networks import build_discriminator, build_generator, build_network, per_image_prior
from restorekit.plugin.registry import create
from restorekit.recipe import Recipe
from restorekit.recipe.parts import Optim, Phase, Term

_PARTS_OF_A_TASK = ("networks", "phases", "losses", "share_forward", "prior", "to", "prepare", "forward", "terms")
Terms = dict[str, tuple[float, Tensor]]  # name -> (weight, unweighted scalar)
Networks = Mapping[str, nn.Module]  # as they are to be called: wrapped for many processes, or not


@dataclass(frozen=True)
class TaskPhase:
    """The phase `name`: it trains the network `trains`, as often as `timing` says, with `optim`."""

    name: str
    trains: str
    timing: Phase
    optim: Optim

    def due(self, step: int) -> bool:
        """Whether the phase takes part in `step`."""
        return step >= self.timing.start and (step - self.timing.start) % self.timing.every == 0


class Task(Protocol):
    """What the engine trains. The core's is `RecipeTask`; a plugin's procedure may bring its own.

    `networks`: among them ``generator``, which is evaluated, saved and restores. `share_forward`: whether the phases of
    a step may share one forward pass of the generator. `prior`: what looks at whole images before training, or None.
    """

    networks: dict[str, nn.Module]
    phases: tuple[TaskPhase, ...]
    share_forward: bool
    prior: nn.Module | None

    @property
    def losses(self) -> Mapping[str, Mapping[str, tuple[float, object]]]:
        """Phase -> name of a term -> its weight, and what computes it."""

    def to(self, device: torch.device) -> None:
        """Move networks and helpers to `device`."""

    def prepare(self, batch: Batch) -> Batch:
        """Add what priors know to a float batch on the device."""

    def forward(self, networks: Networks, batch: Batch) -> Output:
        """Run the generator on the degraded images."""

    def terms(self, phase: str, networks: Networks, batch: Batch, output: Output) -> tuple[Terms, dict[str, Tensor]]:
        """Return the loss terms of `phase`, and further scalars worth logging.

        `output` is the generator's, with its graph only in phases that train the generator.
        """


def _build_losses(terms: Mapping[str, Term]) -> dict[str, tuple[float, nn.Module]]:
    """Return the losses that count; one of weight 0 is not built, so that what it needs may be absent."""
    wanted = {name: term for name, term in terms.items() if term.weight}
    return {name: (term.weight, create("loss", name, **term.settings)) for name, term in wanted.items()}


def make_task(recipe: Recipe) -> Task:
    """Return what trains the recipe: its procedure's task, else a `RecipeTask`.

    Raises `PluginError` when the procedure's task lacks something.
    """
    if recipe.procedure is None:
        return RecipeTask(recipe)
    name = recipe.procedure.name
    task = create("procedure", name, recipe=recipe, **recipe.procedure.settings)
    missing = [part for part in _PARTS_OF_A_TASK if not hasattr(task, part)]
    if missing:
        raise PluginError(
            f"procedure {name!r} gave a {type(task).__name__} without {', '.join(missing)}; a task has"
            f" {', '.join(_PARTS_OF_A_TASK)}"
        )
    _check_parts(name, task)
    made: Task = task
    return made


def _check_parts(name: str, task: Task) -> None:
    if "generator" not in task.networks:
        raise PluginError(f"procedure {name!r}: its networks have no 'generator', which is what restores")
    for phase in task.phases:
        if phase.trains not in task.networks or phase.name not in task.losses:
            raise PluginError(
                f"procedure {name!r}: phase {phase.name!r} trains {phase.trains!r}; there must be such a network, and"
                " losses under the phase's name"
            )


class RecipeTask:
    """Turns a recipe into a task: one phase without a discriminator, two with one, and the recipe's own."""

    def __init__(self, recipe: Recipe) -> None:
        self.networks: dict[str, nn.Module] = {"generator": build_generator(recipe)}
        phases = [TaskPhase("generator", "generator", recipe.phases.generator, recipe.optim.generator)]
        discriminator = build_discriminator(recipe)
        if discriminator is not None:
            self.networks["discriminator"] = discriminator
            timing, optim = recipe.phases.discriminator, recipe.optim.discriminator
            phases.insert(0, TaskPhase("discriminator", "discriminator", timing, optim))
        self.own = recipe.phases.own
        self.networks |= {name: build_network(recipe, name) for name in recipe.networks}
        self.judges = {name for name, network in recipe.networks.items() if network.kind == "discriminator"}
        phases += [TaskPhase(name, own.trains, own, own.optim) for name, own in self.own.items()]
        self.phases = tuple(phases)
        self.share_forward = recipe.phases.share_forward and recipe.accumulate == 1
        prior = recipe.prior
        self.prior: nn.Module | None = create("prior", prior.name, **prior.settings) if prior else None
        self.losses = {
            "generator": _build_losses(recipe.losses),
            "discriminator": _build_losses(recipe.critic_losses),
            **{name: _build_losses(own.losses) for name, own in self.own.items()},
        }

    def to(self, device: torch.device) -> None:
        """Move networks, prior and losses to `device`."""
        helpers = [loss for terms in self.losses.values() for _, loss in terms.values()]
        for module in (*self.networks.values(), self.prior, *helpers):
            if isinstance(module, nn.Module):
                module.to(device)

    def prepare(self, batch: Batch) -> Batch:
        """Return the batch with what the prior adds; priors of whole images have added theirs before."""
        if self.prior is None or per_image_prior(self.prior):
            return batch
        with torch.no_grad():
            prepared = self.prior(batch)
        return expect(prepared, Batch, "the prior")

    def forward(self, networks: Networks, batch: Batch) -> Output:
        """Run the generator; image and extras come in float32."""
        return restored(networks["generator"](batch.degraded), batch.degraded, "the generator").float()

    def _judge(self, networks: Networks, judge: str, candidate: Tensor, batch: Batch) -> Judgement:
        judgement = networks[judge](candidate, batch.degraded)
        return expect(judgement, Judgement, f"the {judge}").float()

    def _accuracies(self, real: Judgement, fake: Judgement) -> dict[str, Tensor]:
        thresholds = (getattr(loss, "threshold", None) for _, loss in self.losses["discriminator"].values())
        threshold = next((float(t) for t in thresholds if t is not None), 0.0)
        return {
            "accuracy/real": accuracy(real, True, threshold),
            "accuracy/fake": accuracy(fake, False, threshold),
        }

    def _trained(self, phase: str) -> str:
        return self.own[phase].trains if phase in self.own else phase

    def _seen(self, phase: str, networks: Networks, batch: Batch, output: Output) -> LossInput:
        """Return what the losses of a phase see: the output and the judgements of the networks that it is about."""
        trained = self._trained(phase)
        judging = trained == "discriminator" or trained in self.judges
        judge = trained if judging else self.own[phase].judge if phase in self.own else "discriminator"
        if not judging and trained != "generator":
            output = restored(networks[trained](batch.degraded), batch.degraded, f"the {trained}").float()
        fake = self._judge(networks, judge, output.image, batch) if judge in networks else None
        real = self._judge(networks, judge, LossInput(batch, output).clean, batch) if judging else None
        return LossInput(batch, output, fake, real)

    def terms(self, phase: str, networks: Networks, batch: Batch, output: Output) -> tuple[Terms, dict[str, Tensor]]:
        """Return the terms of a phase as name -> (weight, unweighted scalar), and the discriminator's accuracies."""
        seen = self._seen(phase, networks, batch, output)
        extra = {}
        if phase == "discriminator" and seen.real and seen.fake:
            extra = self._accuracies(seen.real, seen.fake)
        with torch.autocast(batch.degraded.device.type, enabled=False):
            losses = self.losses[phase].items()
            terms = {name: (weight, _term(name, loss, seen)) for name, (weight, loss) in losses}
        return terms, extra


def _term(name: str, loss: Loss, seen: LossInput) -> Tensor:
    """Return one loss. Raises `PluginError` when it uses what is not there: its entry should have said so."""
    try:
        value = loss(seen)
    except (TypeError, AttributeError, KeyError) as error:
        raise PluginError(
            f"loss {name!r} failed ({type(error).__name__}: {error}); there {_there(seen)}. What a loss uses belongs"
            " into its entry's needs; `restorekit plugins check PLUGIN` tries it"
        ) from error
    return scalar(value, f"loss {name!r}")


def _there(seen: LossInput) -> str:
    planes = [name for name in ("clean", "mask", "references") if getattr(seen.batch, name) is not None]
    judged = [name for name in ("fake", "real") if getattr(seen, name) is not None]
    return f"is {', '.join([*planes, *judged, *seen.output.extras]) or 'nothing'} beside the images"
