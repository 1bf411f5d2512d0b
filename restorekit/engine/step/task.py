"""A task: the networks of a run, its phases, and the loss terms of each phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from restorekit.contracts import expect, restored, scalar
from restorekit.interface import Batch, Judgement, LossInput, Output
from restorekit.losses.accuracy import accuracy
from restorekit.networks import build_discriminator, build_generator, per_image_prior
from restorekit.plugin.registry import create
from restorekit.recipe import Recipe
from restorekit.recipe.parts import Optim, Phase, Term

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
    """What the engine trains. The core's is `RecipeTask`; an exotic model may bring its own."""

    networks: dict[str, nn.Module]
    phases: tuple[TaskPhase, ...]
    share_forward: bool

    def prepare(self, batch: Batch) -> Batch:
        """Add what priors know to a float batch on the device."""

    def forward(self, networks: Networks, batch: Batch) -> Output:
        """Run the generator."""

    def terms(self, phase: str, networks: Networks, batch: Batch, output: Output) -> tuple[Terms, dict[str, Tensor]]:
        """Return the loss terms of `phase`, and further scalars worth logging."""


def _build_losses(terms: Mapping[str, Term]) -> dict[str, tuple[float, nn.Module]]:
    """Return the losses that count; one of weight 0 is not built, so that what it needs may be absent."""
    wanted = {name: term for name, term in terms.items() if term.weight}
    return {name: (term.weight, create("loss", name, **term.settings)) for name, term in wanted.items()}


class RecipeTask:
    """Turns a recipe into a task: one phase without a discriminator, two with one."""

    def __init__(self, recipe: Recipe) -> None:
        self.networks: dict[str, nn.Module] = {"generator": build_generator(recipe)}
        phases = [TaskPhase("generator", "generator", recipe.phases.generator, recipe.optim.generator)]
        discriminator = build_discriminator(recipe)
        if discriminator is not None:
            self.networks["discriminator"] = discriminator
            timing, optim = recipe.phases.discriminator, recipe.optim.discriminator
            phases.insert(0, TaskPhase("discriminator", "discriminator", timing, optim))
        self.phases = tuple(phases)
        self.share_forward = recipe.phases.share_forward and recipe.accumulate == 1
        prior = recipe.prior
        self.prior: nn.Module | None = create("prior", prior.name, **prior.settings) if prior else None
        self.losses = {
            "generator": _build_losses(recipe.losses),
            "discriminator": _build_losses(recipe.critic_losses),
        }

    def to(self, device: torch.device) -> None:
        """Move networks, prior and losses to `device`."""
        helpers = [loss for terms in self.losses.values() for _, loss in terms.values()]
        for module in (*self.networks.values(), self.prior, *helpers):
            if isinstance(module, nn.Module):
                module.to(device)

    def prepare(self, batch: Batch) -> Batch:
        if self.prior is None or per_image_prior(self.prior):
            return batch
        with torch.no_grad():
            prepared = self.prior(batch)
        return expect(prepared, Batch, "the prior")

    def forward(self, networks: Networks, batch: Batch) -> Output:
        return restored(networks["generator"](batch.degraded), batch.degraded, "the generator").float()

    def _judge(self, networks: Networks, candidate: Tensor, batch: Batch) -> Judgement:
        judgement = networks["discriminator"](candidate, batch.degraded)
        return expect(judgement, Judgement, "the discriminator").float()

    def _accuracies(self, real: Judgement, fake: Judgement) -> dict[str, Tensor]:
        thresholds = (getattr(loss, "threshold", None) for _, loss in self.losses["discriminator"].values())
        threshold = next((float(t) for t in thresholds if t is not None), 0.0)
        return {
            "accuracy/real": accuracy(real, True, threshold),
            "accuracy/fake": accuracy(fake, False, threshold),
        }

    def terms(self, phase: str, networks: Networks, batch: Batch, output: Output) -> tuple[Terms, dict[str, Tensor]]:
        fake = real = None
        extra: dict[str, Tensor] = {}
        if "discriminator" in networks:
            fake = self._judge(networks, output.image, batch)
        if phase == "discriminator":
            assert fake is not None
            assert batch.clean is not None
            real = self._judge(networks, batch.clean, batch)
            extra = self._accuracies(real, fake)
        seen = LossInput(batch, output, fake, real)
        with torch.autocast(batch.degraded.device.type, enabled=False):
            losses = self.losses[phase].items()
            terms = {name: (weight, scalar(loss(seen), f"loss {name!r}")) for name, (weight, loss) in losses}
        return terms, extra
