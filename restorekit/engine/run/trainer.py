"""One run in progress: engine, data, logs and folder together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TypeVar

from restorekit.data.imageset import ImageSet
from restorekit.engine.feed.badimages import BadImages
from restorekit.engine.feed.batches import Feed
from restorekit.engine.feed.order import sample_key
from restorekit.engine.run.evaluation import evaluate
from restorekit.engine.run.folder import STATUS, Claim, Progress, RunFolder
from restorekit.engine.run.logs import Logs
from restorekit.engine.run.options import OnStep, Options, RunResult
from restorekit.engine.run.pictures import save_curves, save_samples
from restorekit.engine.run.profiling import Profiler
from restorekit.engine.run.remedies import action_for, describe, remedy
from restorekit.engine.run.stopping import StopRequest
from restorekit.engine.step.engine import Engine
from restorekit.engine.step.nonfinite import MaskedUpdates
from restorekit.engine.step.replay import find_culprit
from restorekit.errors import TrainingError
from restorekit.notices import notice

_SALT = 2**40  # sample numbers that no run reaches

Item = TypeVar("Item")


def _timed(items: Iterator[Item]) -> Iterator[tuple[float, Item]]:
    """Yield each item with the seconds that were waited for it."""
    while True:
        started = time.monotonic()
        try:
            item = next(items)
        except StopIteration:
            return
        yield time.monotonic() - started, item


@dataclass
class Place:
    """Where a run stands, in its folder. `claim`, `logs`, `profiler`: on the main process, where wanted."""

    folder: RunFolder
    claim: Claim | None
    step: int
    progress: Progress
    logs: Logs | None
    profiler: Profiler | None


class Trainer:
    """Trains one recipe in one run folder, which `open_run` has opened; `run` goes on from where it stands."""

    def __init__(
        self,
        engine: Engine,
        feed: Feed,
        bad: BadImages,
        validation: ImageSet | None,
        options: Options,
        place: Place,
    ) -> None:
        self.engine, self.feed, self.bad = engine, feed, bad
        self.recipe, self.runtime = engine.recipe, engine.runtime
        self.validation, self.options = validation, options
        self.folder, self.step, self.progress = place.folder, place.step, place.progress
        self.logs, self.profiler, self._claim = place.logs, place.profiler, place.claim
        self._stop = StopRequest()
        self._salt()

    def _salt(self) -> None:
        """Draw other samples and noise after each rollback: the same ones would end the same way."""
        seed = (
            sample_key(self.recipe.seed, -_SALT - self.progress.rollbacks)
            if self.progress.rollbacks
            else self.recipe.seed
        )
        self.engine.seed = self.feed.seed = seed

    def run(self, on_step: OnStep) -> RunResult:
        """Train to the last step, or until a signal or `max_steps` ends it; saves in every case."""
        last = min(self.recipe.steps, self.options.max_steps or self.recipe.steps)
        try:
            with self._stop:
                self._first(last)
                code: int | None = None
                while self.step < last and code is None:
                    code = self._train(last, on_step)
                self._log()
                self._save()
        finally:
            if self.profiler:
                self.profiler.close()
        report = self.profiler.report() if self.profiler else ""
        bad = dict(item for found in self.runtime.gather([self.bad.messages]) for item in found.items())
        completed = self.step >= self.recipe.steps
        number = code or self._stop.signal  # one that came while the last step was being saved is answered too
        return RunResult(
            self.folder.path, self.step, completed, 128 + number if number else 0, self.progress.best, bad, report
        )

    def _first(self, last: int) -> None:
        """Do what belongs before the next step: an evaluation that a signal cut short, or that of step 0."""
        if (
            self.step <= last
            and self.progress.evaluated != self.step
            and self._due(self.recipe.eval_every, self.recipe.steps)
        ):
            self.evaluate()
        if self.options.on_nan == "rollback" and self.step == 0:
            self._save()

    def _train(self, last: int, on_step: OnStep) -> int | None:
        """Train up to `last`; returns early after a rollback, or with the number of a signal."""
        started, base = time.monotonic(), self.progress.seconds
        batches = self.feed.batches(self.step, last)
        for waited, batch in _timed(batches):
            self.engine.step(self.step, batch)
            self.step += 1
            self.progress.seconds = base + time.monotonic() - started
            values = self._after_step(last)
            if values is None:
                batches.close()
                return None
            on_step(self.step, values)
            if self.profiler:
                self.profiler.after_step(waited)
            if code := self.runtime.stop_signal(self._stop.signal, self.step):
                self._rolled_back()  # what was masked since the last log line is not forgotten
                return code
        return None

    def _due(self, every: int, last: int) -> bool:
        return self.step % every == 0 or self.step == last

    def _after_step(self, last: int) -> dict[str, float] | None:
        """Log, evaluate and save where it is due; None when the run has gone back to a checkpoint."""
        values: dict[str, float] = {}
        due_save = self._due(self.recipe.save_every, last)
        if due_save or self._due(self.options.log_every, last):
            if self._rolled_back():
                return None
            values = self._log()
        if self._due(self.recipe.eval_every, self.recipe.steps):
            values |= self.evaluate()
        if due_save and self.step < last:  # the last step is saved when the run ends
            self._save()
        return values

    def _log(self) -> dict[str, float]:
        values = self.engine.read_log()
        if self.logs and values:
            self.logs.training(self.step, values | self.engine.rates(self.step - 1))
        return values

    def _rolled_back(self) -> bool:
        """Look at masked updates, as `on_nan` says. Raises `TrainingError`; True after going back."""
        policy, fp16 = self.options.on_nan, self.runtime.precision == "fp16"
        for masked in self.engine.read_masked():
            action = action_for(policy, masked, fp16=fp16, rollbacks=self.progress.rollbacks)
            if action == "ignore":
                continue
            message = describe(masked, self._culprit(masked))
            if action == "stop":
                raise TrainingError(f"{message}. {remedy(policy, self.folder.checkpoints)}")
            if action == "rollback":
                self._roll_back(message)
                return True
            notice(f"{message}; going on without it")
        return False

    def _culprit(self, masked: MaskedUpdates) -> str:
        found = find_culprit(self.engine, masked.phase, masked.step, self.feed.batch(masked.step))
        return next((clause for clause in self.runtime.gather([found]) if clause), "")

    def _roll_back(self, message: str) -> None:
        self.step, saved = self.folder.resume(self.engine)
        self.progress.evaluated = saved.evaluated
        self.progress.rollbacks += 1
        self._salt()
        self.engine.forget_log()
        if self.logs:
            self.logs.rewind(self.step)
        notice(
            f"{message}; going back to step {self.step} and on with other samples (rollback {self.progress.rollbacks})"
        )

    def evaluate(self) -> dict[str, float]:
        """Score the generator on the validation images, and log and keep what comes of it."""
        if self.validation is None:
            return {}
        network = self.engine.best_generator
        found = evaluate(
            network, self.validation, self.recipe, self.runtime, bad=self.bad, stopped=lambda: self._stop.asked
        )
        if found is None:  # it is made up for when the run goes on
            return {}
        scores, examples = found
        self.progress.evaluated = self.step
        if self.logs:
            save_samples(self.folder.path, self.step, examples)
            if scores:
                self.logs.validation(self.step, scores)
            save_curves([self.folder.path], self.folder.path / "curves.png")
        self._keep_best(scores)
        return {f"val/{name}": value for name, value in scores.items()}

    def _keep_best(self, scores: dict[str, float]) -> None:
        if self.step == 0 and not self.options.init:
            return  # an untrained network is no candidate
        for name, value in scores.items():
            if value > self.progress.best.get(name, float("-inf")):
                self.progress.best[name] = value
                if self.runtime.main:
                    facts = {"restorekit.step": str(self.step), f"restorekit.{name}": f"{value:.4f}"}
                    self.folder.save_weights(f"best-{name}", self.engine.best_generator, self.recipe, facts)

    def _save(self) -> None:
        self.folder.save(self.step, self.engine, self.progress, main=self.runtime.main)
        if self.runtime.main:
            completed = self.step >= self.recipe.steps
            facts = {"step": self.step, "steps": self.recipe.steps, "completed": completed}
            self.folder.write_json(STATUS, {**facts, **asdict(self.progress), "bad_images": len(self.bad.messages)})
        if self.logs:
            self.logs.saved(self.step, self.folder.weights("last"))
        self.runtime.wait()

    def close(self, error: Exception | None = None) -> None:
        """Tell the trackers that the run has stopped, or what ended it, and let others into the folder."""
        if self.logs and error:
            self.logs.fail(self.step, error)
        elif self.logs:
            self.logs.finish(self.step, self.step >= self.recipe.steps)
        if self._claim:
            self._claim.release()
