"""Training a recipe from the first step to the last, whatever happens in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from restorekit.data.crops import CropSource
from restorekit.data.sets import ImageSet
from restorekit.engine.engine import Engine
from restorekit.engine.evaluation import evaluate
from restorekit.engine.feed import Feed
from restorekit.engine.logs import Logs
from restorekit.engine.pictures import save_curves, save_samples
from restorekit.engine.references import referencer_of
from restorekit.engine.run import STATUS, RunFolder
from restorekit.engine.runtime import Runtime
from restorekit.engine.stopping import StopRequest
from restorekit.engine.task import size_rule_of
from restorekit.errors import TrainingError
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe
from restorekit.recipe.check import check_recipe
from restorekit.version import __version__

MASKED_IN_A_ROW = 20  # fp16: overflows in a row that backing the scale off cannot explain
COMPILE_STEPS = 2000  # below this, compiling costs more than it saves


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what to train.

    `compile`: ``auto`` (long CUDA jobs), ``on`` or ``off``. `max_steps`: stop after this step as if interrupted.
    """

    device: str = "auto"
    compile: str = "auto"
    max_steps: int | None = None
    log_every: int = 20


@dataclass
class RunResult:
    """How a run ended. `best` holds the best value of each validation metric."""

    run: Path
    step: int
    completed: bool
    exit_code: int = 0
    best: dict[str, float] = field(default_factory=dict)


class Trainer:
    """One run in progress: engine, data, logs and folder together."""

    def __init__(
        self, recipe: Recipe, images: ImageSet, validation: ImageSet | None, run: Path, options: Options
    ) -> None:
        check_recipe(recipe, registry(), paired=images.paired)
        self.recipe, self.validation, self.options = recipe, validation, options
        self.runtime = Runtime(options.device, recipe.precision)
        self.folder = RunFolder(run)
        facts = self._facts(images)
        if self.runtime.main:
            self.folder.open(recipe, facts)
        self.runtime.wait()
        self.engine = Engine(recipe, self.runtime, compiled=self._compiled())
        rule = size_rule_of(self.engine.generator)
        source = CropSource(images, recipe.data, rule, referencer_of(self.engine.task.prior, self.runtime.device))
        self.feed = Feed(source, recipe.seed, self.runtime.share)
        self.step, progress = self.folder.resume(self.engine)
        self.best: dict[str, float] = progress.get("best", {})
        self.seconds: float = progress.get("seconds", 0.0)
        self.logs = Logs(run, registry(), recipe.plain(), self.step) if self.runtime.main else None

    def _facts(self, images: ImageSet) -> dict[str, Any]:
        def identity(item: ImageSet | None) -> dict[str, Any] | None:
            return None if item is None else {"label": item.label, "images": len(item), "fingerprint": item.fingerprint}

        return {"data": identity(images), "validation": identity(self.validation), "version": __version__}

    def _compiled(self) -> bool:
        choice = self.options.compile
        long = self.recipe.steps >= COMPILE_STEPS and self.runtime.device.type == "cuda"
        return choice == "on" or (choice == "auto" and long)

    def run(self, on_step: Callable[[int, dict[str, float]], None]) -> RunResult:
        """Train to the last step, or until a signal or `max_steps` ends it; saves in every case."""
        last = min(self.recipe.steps, self.options.max_steps or self.recipe.steps)
        with StopRequest() as stop:
            if self.step == 0:
                self._evaluate()
            started = time.monotonic()
            base = self.seconds
            for batch in self.feed.batches(self.step, last):
                self.engine.step(self.step, batch)
                self.step += 1
                self.seconds = base + time.monotonic() - started
                on_step(self.step, self._after_step(last))
                if self.runtime.agree(stop.signal):
                    break
            completed = self.step >= self.recipe.steps
            self._save(completed)
            return RunResult(self.folder.path, self.step, completed, stop.exit_code, self.best)

    def _due(self, every: int, last: int) -> bool:
        return self.step % every == 0 or self.step == last

    def _after_step(self, last: int) -> dict[str, float]:
        values: dict[str, float] = {}
        if self._due(self.options.log_every, last) or self._due(self.recipe.save_every, last):
            values = self.engine.read_log()
            self._check_trouble()
            if self.logs and values:
                self.logs.training(self.step, values | self.engine.rates(self.step - 1))
        if self._due(self.recipe.eval_every, last):
            values |= self._evaluate()
        if self._due(self.recipe.save_every, last):
            self._save(self.step >= self.recipe.steps)
        return values

    def _check_trouble(self) -> None:
        fp16 = self.runtime.precision == "fp16"
        for trouble in self.engine.read_trouble():
            if fp16 and trouble.streak < MASKED_IN_A_ROW:
                continue
            culprit = ", ".join(trouble.terms) or "no single term: the gradient"
            raise TrainingError(
                f"values that are not finite in phase {trouble.phase!r} at step {trouble.step} ({culprit});"
                f" {trouble.count} updates were masked and the weights are those from before. The last checkpoint in"
                f" {self.folder.checkpoints} is good; try a lower rate, clip_norm=1 or precision=fp32"
            )

    def _evaluate(self) -> dict[str, float]:
        if self.validation is None:
            return {}
        self.runtime.average_buffers(self.engine.task.networks)
        network = self.engine.best_generator
        scores, examples = evaluate(network, self.validation, self.recipe, self.runtime)
        if self.logs:
            save_samples(self.folder.path, self.step, examples)
            if scores:
                self.logs.validation(self.step, scores)
            save_curves([self.folder.path], self.folder.path / "curves.png")
        for name, value in scores.items():
            if value > self.best.get(name, float("-inf")):
                self.best[name] = value
                if self.runtime.main and self.step:
                    facts = {"restorekit.step": str(self.step), f"restorekit.{name}": f"{value:.4f}"}
                    self.folder.save_weights(f"best-{name}", network, self.recipe, facts)
        return {f"val/{name}": value for name, value in scores.items()}

    def _save(self, completed: bool) -> None:
        progress = {"best": self.best, "seconds": self.seconds}
        self.folder.save(self.step, self.engine, progress, main=self.runtime.main)
        if self.runtime.main:
            status = {"step": self.step, "steps": self.recipe.steps, "completed": completed, **progress}
            self.folder.write_json(STATUS, status)
        self.runtime.wait()


def train(
    recipe: Recipe,
    images: ImageSet,
    run: Path,
    *,
    validation: ImageSet | None = None,
    options: Options | None = None,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> RunResult:
    """Train `recipe` on `images` in the folder `run`; goes on where an earlier call stopped.

    `on_step` is called after each step with the step's number and what was logged. Batches, augmentation and
    noise depend on the recipe's seed and the step only, so an interrupted run ends with the same weights.

    Raises `RecipeError`, `DataError` or `TrainingError`; what was saved before stays usable.
    """
    trainer = Trainer(recipe, images, validation, run, options or Options())
    try:
        result = trainer.run(on_step or (lambda step, values: None))
        if trainer.logs:
            trainer.logs.finish(result.step, result.completed)
        return result
    finally:
        if trainer.logs:
            trainer.logs.__exit__(None, None, None)
        trainer.runtime.close()
