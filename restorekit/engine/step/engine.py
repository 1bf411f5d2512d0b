"""The engine: one step of any task, right under AMP, accumulation and many processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from restorekit.data.augment import augment
from restorekit.engine.feed.order import step_seed
from restorekit.engine.runtime import Runtime
from restorekit.engine.step.batchnorm import synchronise, together
from restorekit.engine.step.buffers import Buffers
from restorekit.engine.step.freezing import Learning
from restorekit.engine.step.nonfinite import MaskCounters, MaskedUpdates, finite_terms
from restorekit.engine.step.schedule import rate_factor
from restorekit.engine.step.task import TaskPhase, make_task
from restorekit.engine.step.update import Updater
from restorekit.errors import TrainingError
from restorekit.interface import Batch, Output
from restorekit.recipe import Recipe
from restorekit.weights.files import start_from


def split(batch: Batch, parts: int) -> list[Batch]:
    """Return `parts` micro-batches of equal size."""
    if parts == 1:
        return [batch]
    size = batch.degraded.shape[0] // parts
    cuts = [slice(i * size, (i + 1) * size) for i in range(parts)]
    tensors = ("degraded", "clean", "mask", "references", "key")
    present = {name: getattr(batch, name) for name in tensors if getattr(batch, name) is not None}
    return [batch.replace(name=batch.name[c], **{k: v[c] for k, v in present.items()}) for c in cuts]


class Engine:
    """Trains the networks of a recipe, one global step at a time.

    A step is one pass over the phases that are due, on one global batch. In each phase only its own network
    learns: the others are frozen, gradients of micro-batches add up, and one update follows.
    """

    def __init__(self, recipe: Recipe, runtime: Runtime, *, compiled: bool = False) -> None:
        runtime.check_batch(recipe.data.batch, recipe.accumulate)
        self.recipe = recipe
        self.runtime = runtime
        self.compiled = compiled
        self.seed = recipe.seed  # of dropout; a rollback changes it
        self.task = make_task(recipe)
        self.task.to(runtime.device)
        for network in self.task.networks.values():
            if recipe.sync_batch_norm and runtime.many:
                synchronise(network)
            network.to(memory_format=torch.channels_last)
            network.train()
        self.learning = Learning(self.task.networks, recipe.frozen)
        self.ema = ModelEmaV3(self.generator, decay=recipe.ema) if recipe.ema else None
        self.updaters = {phase.name: self._updater(phase) for phase in self.task.phases}
        if compiled:
            for network in self.task.networks.values():
                network.compile()
        self.wrapped = runtime.wrap(self.task.networks)
        self.buffers = Buffers(self.task.networks)
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    @property
    def generator(self) -> nn.Module:
        """The generator as it is trained."""
        return self.task.networks["generator"]

    @property
    def best_generator(self) -> nn.Module:
        """The generator to evaluate and save: the averaged one if the recipe has one."""
        return self.ema.module if self.ema is not None else self.generator

    def _updater(self, phase: TaskPhase) -> Updater:
        network = self.task.networks[phase.trains]
        counters = MaskCounters(phase.name, list(self.task.losses[phase.name]), self.runtime.device)
        fp16 = self.runtime.precision == "fp16"
        return Updater(network, phase.optim, counters, clip_norm=self.recipe.clip_norm, fp16=fp16)

    @together()
    def step(self, step: int, batch: Batch) -> None:
        """Train on this process's part of the batch of `step`, given as uint8 on the CPU."""
        micros = self.prepare(step, batch)
        self.learning.rest()
        self.buffers.remember()
        factor = rate_factor(self.recipe.schedule, step, self.recipe.steps)
        due = [phase for phase in self.task.phases if phase.due(step)]
        shared = self._shared_forward(due, micros)
        moved = False
        for phase in due:
            for repeat in range(phase.timing.repeats):
                # once the generator has moved, the shared forward pass is out of date
                fresh = phase.trains == "generator" and (repeat > 0 or moved)
                self._phase(phase, step, factor, micros, None if fresh else shared)
            moved = moved or phase.trains == "generator"
        self.buffers.settle(self.runtime.mean)
        if self.ema is not None:
            self.ema.update(self.generator, step=step)

    def prepare(self, step: int, batch: Batch) -> list[Batch]:
        """Seed the random generators for `step`; return its augmented micro-batches on the device."""
        torch.manual_seed(step_seed(self.seed, step) + self.runtime.share.rank)
        batch = augment(batch.to(self.runtime.device, non_blocking=True), self.recipe.data)
        return [self.task.prepare(micro) for micro in split(batch, self.recipe.accumulate)]

    def _shared_forward(self, due: list[TaskPhase], micros: list[Batch]) -> Output | None:
        """Run the generator once for all phases, where the recipe allows it and it saves a pass."""
        if not self.task.share_forward or len(due) < 2:
            return None
        self.learning.only("generator")
        with self.runtime.autocast():
            return self.task.forward(self.wrapped, micros[0])

    def _output(self, phase: TaskPhase, batch: Batch, shared: Output | None) -> Output:
        """Return the generator's output as `phase` needs it: with its graph only to train the generator."""
        learns = phase.trains == "generator"
        if shared is not None:
            return shared if learns else shared.detach()
        with torch.set_grad_enabled(learns):
            network = self.wrapped if learns else self.task.networks
            return self.task.forward(network, batch)

    def _callable(self, phase: TaskPhase) -> Mapping[str, nn.Module]:
        """Return the trained network wrapped for many processes, and every frozen one as it is."""
        return {n: (self.wrapped if n == phase.trains else self.task.networks)[n] for n in self.wrapped}

    def _phase(self, phase: TaskPhase, step: int, factor: float, micros: list[Batch], shared: Output | None) -> None:
        self.learning.only(phase.trains)
        updater = self.updaters[phase.name]
        finite: list[Tensor] = []
        for index, micro in enumerate(micros):
            last = index == len(micros) - 1
            with self.runtime.synchronised(self.wrapped[phase.trains], last):
                with self.runtime.autocast():
                    output = self._output(phase, micro, shared)
                    terms, extra = self.task.terms(phase.name, self._callable(phase), micro, output)
                loss = torch.stack([weight * value for weight, value in terms.values()]).sum()
                updater.backward(loss / len(micros))
            finite.append(finite_terms(terms))
            self._note({f"{phase.name}/{k}": v for k, (_, v) in terms.items()} | extra)
        all_finite = torch.stack(finite).all(dim=0)
        if self.runtime.many:
            all_finite = self.runtime.mean(all_finite.float()) == 1
        norm = updater.step(step, factor, all_finite)
        self._note({f"{phase.name}/gradient-norm": norm})

    def _note(self, values: Mapping[str, Tensor]) -> None:
        """Add to the sums since the last log, on the device."""
        for name, value in values.items():
            value = value.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def read_log(self) -> dict[str, float]:
        """Return the mean of every logged value since the last call, over all processes. Waits for the device."""
        names = sorted(self._sums)
        if not names:
            return {}
        means = torch.stack([self._sums[n] / self._counts[n] for n in names])
        values = self.runtime.mean(means).tolist()
        self._sums, self._counts = {}, {}
        return dict(zip(names, values, strict=True))

    def read_masked(self) -> list[MaskedUpdates]:
        """Return, for each phase, the updates masked since the last call. Waits for the device."""
        found = [updater.counters.read() for updater in self.updaters.values()]
        return [masked for masked in found if masked is not None]

    def forget_log(self) -> None:
        """Drop what was noted since the last log, and all troubles: the steps that made them are undone."""
        self._sums, self._counts = {}, {}
        for updater in self.updaters.values():
            updater.counters.reset()

    def rates(self, step: int) -> dict[str, float]:
        """Return the learning rate of each phase at `step`."""
        factor = rate_factor(self.recipe.schedule, step, self.recipe.steps)
        return {f"lr/{name}": updater.base_rate * factor for name, updater in self.updaters.items()}

    def start_from(self, weights: Path) -> list[str]:
        """Start the generator from a weights file, as far as names and shapes agree; return the names of the rest.

        Raises `WeightsError` when nothing agrees.
        """
        rest = start_from(weights, self.generator)
        if self.ema is not None:
            self.ema.module.load_state_dict(self.generator.state_dict())
        return rest

    PARTS = ("networks", "updaters", "ema")
    """What `state_dict` holds."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the following steps depend on."""
        return {
            "networks": {name: net.state_dict() for name, net in self.task.networks.items()},
            "updaters": {name: updater.state_dict() for name, updater in self.updaters.items()},
            "ema": self.ema.module.state_dict() if self.ema else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`. Raises `TrainingError` when it belongs to other networks."""
        try:
            for name, network in self.task.networks.items():
                network.load_state_dict(state["networks"][name])
            for name, updater in self.updaters.items():
                updater.load_state_dict(state["updaters"][name])
            if self.ema is not None:
                self.ema.module.load_state_dict(state["ema"])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise TrainingError(
                f"the checkpoint does not fit the networks of recipe {self.recipe.name!r}:"
                f" {' '.join(str(error).split())[:400]}"
            ) from error
