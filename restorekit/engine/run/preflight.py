"""``--check``: does this recipe train on these data, how long will it take, and can it learn at all?"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, replace

import psutil
import torch

from restorekit.data.imageset import ImageSet
from restorekit.engine.run.opening import open_run
from restorekit.engine.run.options import Options
from restorekit.engine.run.trainer import Trainer
from restorekit.engine.step.engine import Engine
from restorekit.errors import TrainingError
from restorekit.interface import Batch
from restorekit.leftovers import temporary
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe
from restorekit.recipe.parts import Phase
from restorekit.termination import pass_on

STEPS = 2
TIMED = 3  # further steps, behind the first ones, which are slower
OVERFIT_STEPS, OVERFIT_SECONDS = 40, 60.0


@dataclass(frozen=True)
class Preflight:
    """What was found. `losses`: the watched loss on one batch, before and after training on it alone."""

    device: str
    precision: str
    step_seconds: float
    evaluation_seconds: float
    total_seconds: float
    memory: int  # bytes, at the peak: of the GPU, or of this process
    checkpoint: int  # bytes
    losses: tuple[float, float]
    overfit_steps: int

    @property
    def learns(self) -> bool:
        """Whether the loss fell on the one batch."""
        return self.losses[1] < self.losses[0]

    def lines(self, recipe: Recipe) -> list[str]:
        """Return the findings for people."""
        where = f"{self.device} in {self.precision}"
        verdict = "it learns" if self.learns else "it does NOT learn: try other rates or loss weights"
        return [
            f"{STEPS} steps, an evaluation, a save and a load: fine, on {where}",
            f"time: {self.step_seconds:.3g} s a step, {self.evaluation_seconds:.3g} s an evaluation, about"
            f" {_duration(self.total_seconds)} for {recipe.steps} steps",
            f"memory: {self.memory / 2**30:.2f} GiB at the peak; a checkpoint takes {self.checkpoint / 2**20:.1f} MiB",
            f"one batch over and over: loss {self.losses[0]:.4g} -> {self.losses[1]:.4g} in {self.overfit_steps} steps;"
            f" {verdict}",
        ]


def _duration(seconds: float) -> str:
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def watched_terms(recipe: Recipe) -> tuple[str, dict[str, float]]:
    """Return phase and weights of the terms that training lowers: judged ones rise as the critic learns."""
    found = registry()
    judged = {"logits"} | {given for c in found.components("discriminator") for given in c.entry.gives}
    free = {n: t.weight for n, t in recipe.losses.items() if not judged & set(found.find("loss", n).entry.needs)}
    critics = {n: t.weight for n, t in recipe.critic_losses.items()}
    phase, terms = ("generator", free) if free else ("discriminator", critics)
    return phase, {name: weight for name, weight in terms.items() if weight}


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _same(one: Engine, other: Engine) -> bool:
    pairs = zip(one.generator.state_dict().values(), other.generator.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def _overfit(engine: Engine, batch: Batch) -> tuple[tuple[float, float], int]:
    """Train on one batch alone; return the loss before, that after (mean of three), and the steps made."""
    phase, terms = watched_terms(engine.recipe)
    values: list[float] = []
    started = time.monotonic()
    engine.read_log()
    while len(values) < OVERFIT_STEPS and (len(values) < 6 or time.monotonic() - started < OVERFIT_SECONDS):
        # always step 0 of the noise, so that augmentation and dropout are the same too
        engine.step(0, batch)
        logged = engine.read_log()
        values.append(sum(weight * logged.get(f"{phase}/{name}", math.nan) for name, weight in terms.items()))
    return (values[0], sum(values[-3:]) / 3), len(values)


def preflight(recipe: Recipe, images: ImageSet, validation: ImageSet | None, options: Options) -> Preflight:
    """Make two steps, an evaluation, a save and a load in a folder of its own; time them; overfit one batch.

    Raises what training would raise, and `TrainingError` when what was loaded is not what was saved.
    """
    short = _short(recipe)
    few = validation.subset(range(min(2, len(validation)))) if validation else None
    compiled = "on" if options.compile == "on" else "off"
    chosen = replace(options, max_steps=None, log_every=1, compile=compiled, profile=False)
    with temporary("check") as folder:
        trainer = open_run(short, images, few, folder / "run", chosen)
        if trainer.runtime.many:
            raise TrainingError("--check looks at one process; run it without torchrun")
        try:
            ended = trainer.run(lambda step, values: None)
        finally:
            trainer.close()
        pass_on(ended.exit_code)
        return _measured(recipe, validation, trainer, open_run(short, images, few, folder / "run", chosen))


def _short(recipe: Recipe) -> Recipe:
    """Return the recipe for two steps, in which every phase is due and the rate is that of the middle of a run."""
    phases = {name: phase.model_copy(update={"start": 0}) for name, phase in recipe.phases if isinstance(phase, Phase)}
    changes = {
        "steps": STEPS,
        "eval_every": STEPS,
        "save_every": STEPS,
        "phases": recipe.phases.model_copy(update=phases),
        "schedule": recipe.schedule.model_copy(update={"warmup": 0}),
    }
    return recipe.model_copy(update=changes)


def _measured(recipe: Recipe, validation: ImageSet | None, trained: Trainer, loaded: Trainer) -> Preflight:
    loaded.close()
    if not _same(trained.engine, loaded.engine):
        raise TrainingError("the generator that was loaded is not the one that was saved; please report this")
    step_seconds = _step_seconds(trained)
    started = time.monotonic()
    trained.evaluate()
    each = (time.monotonic() - started) / max(1, len(trained.validation or ()))
    evaluation = each * len(validation or ())
    total = step_seconds * recipe.steps + evaluation * (1 + recipe.steps // recipe.eval_every)
    # an untrained engine: a rate that is too high has done its harm within the two steps of the others
    losses, steps = _overfit(Engine(loaded.recipe, loaded.runtime), loaded.feed.batch(0))
    newest = max(trained.folder.checkpoints.glob("*.pt"))
    runtime = trained.runtime
    return Preflight(
        device=str(runtime.device),
        precision=runtime.precision,
        step_seconds=step_seconds,
        evaluation_seconds=evaluation,
        total_seconds=total,
        memory=_memory(runtime.device),
        checkpoint=newest.stat().st_size,
        losses=losses,
        overfit_steps=steps,
    )


def _step_seconds(trainer: Trainer) -> float:
    """Return the time of one step behind the first ones, data included."""
    started = time.monotonic()
    for step, batch in enumerate(trainer.feed.batches(STEPS, STEPS + TIMED), STEPS):
        trainer.engine.step(step, batch)
    trainer.engine.read_log()  # waits for the device
    return (time.monotonic() - started) / TIMED
