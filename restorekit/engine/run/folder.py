"""The run folder: what it holds, and whether a run may go on in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import nn

from restorekit.engine.run.checkpoint import load_checkpoint, remove_leftovers, save_checkpoint, write_atomically
from restorekit.engine.run.fitting import Facts
from restorekit.engine.step.engine import Engine
from restorekit.errors import TrainingError
from restorekit.jsonfile import read_table
from restorekit.notices import notice
from restorekit.plugin.hooks import check_trackers
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe, to_toml
from restorekit.recipe.toml import read_recipe_file
from restorekit.weights.files import save_weights

IDENTITY = ("data", "validation", "init")  # facts that must not change within a run
RECIPE, FACTS, STATUS, LOCK = "recipe.toml", "run.json", "status.json", ".lock"
TRACKERS = "track.json"


@dataclass
class Progress:
    """What a run remembers beside its networks. `best`: the best value of each validation metric so far.

    `seconds`: of training. `evaluated`: the last step that was evaluated. `rollbacks`: how often it went back.
    """

    best: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    evaluated: int = -1
    rollbacks: int = 0


@dataclass(frozen=True)
class Tracking:
    """What `TRACKERS` holds: the plugins that follow the run."""

    track: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A run folder that this process trains in. `fresh`: it was empty before."""

    path: Path
    lock: FileLock
    fresh: bool

    def release(self) -> None:
        """Let others in."""
        self.lock.release()

    def withdraw(self) -> None:
        """Let others in, and take away what a run that cannot start has written."""
        self.lock.release()
        if self.fresh:
            shutil.rmtree(self.path)


def _of_a_start(path: Path) -> bool:
    """Whether a file is what a run that was killed while it started has left."""
    return path.name == FACTS or path.name.endswith(".part")


@dataclass(frozen=True)
class RunFolder:
    """The files of one run: recipe, facts, checkpoints, weights, logs, samples, curves."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Where the opaque states for resuming are."""
        return self.path / "checkpoints"

    def open(self, recipe: Recipe, facts: Facts) -> Claim:
        """Start the folder, or check that the same run is to go on in it; keeps others out.

        Raises `TrainingError` listing the fields that differ, or when the folder cannot be used, or is in use.
        """
        known = self.path / RECIPE
        if known.exists():
            self._same(read_recipe_file(known), recipe, facts)
            claim = Claim(self.path, self._lock(), fresh=False)
            remove_leftovers(self.path)
            return claim
        if self.path.exists() and not self.path.is_dir():
            raise TrainingError(f"{self.path} is a file; give a folder with -o")
        if self.path.exists() and any(not _of_a_start(p) for p in self.path.iterdir()):
            raise TrainingError(
                f"{self.path} is not empty and holds no run; give another folder with -o, or empty this one"
            )
        self.write_json(FACTS, facts)  # first: the recipe is what marks a folder as a run
        self.write_text(RECIPE, to_toml(recipe))
        return Claim(self.path, self._lock(), fresh=True)

    def _lock(self) -> FileLock:
        lock = FileLock(self.path / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise TrainingError(
                f"another process is training in {self.path}; wait until it ends, or give another folder with -o"
            ) from error
        except (OSError, NotImplementedError) as error:
            notice(f"{self.path} cannot be locked ({error}); see to it that no other process trains in it")
        return lock

    def _same(self, known: Recipe, recipe: Recipe, facts: Facts) -> None:
        differences = known.difference(recipe)
        before = read_table(self.path / FACTS, dict[str, object])
        for key in IDENTITY:
            if before.get(key) != facts.get(key):
                differences.append(f"{key}: {before.get(key)} -> {facts.get(key)}")
        if differences:
            raise TrainingError(
                f"{self.path} holds a run of another recipe; these fields differ: {'; '.join(differences)}. Give"
                " the same settings to go on with it, or another folder with -o"
            )

    def trackers(self, chosen: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return the plugins that follow the run, and remember them; None takes those that it was started with."""
        if chosen is None:
            return read_table(self.path / TRACKERS, Tracking).track
        check_trackers(registry().manager, chosen)
        self.write_json(TRACKERS, {"track": list(chosen)})
        return chosen

    def note(self, facts: Mapping[str, object]) -> None:
        """Add to the facts of the run."""
        self.write_json(FACTS, {**read_table(self.path / FACTS, dict[str, object]), **facts})

    def write_json(self, name: str, values: Mapping[str, object]) -> None:
        """Write one of the small JSON files."""
        self.write_text(name, json.dumps(values, indent=2, sort_keys=True) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write one of the small text files."""
        write_atomically(self.path / name, lambda beside: beside.write_text(text, encoding="utf-8"))

    def weights(self, name: str) -> Path:
        """Return the place of the public artefact ``weights/NAME.safetensors``."""
        return self.path / "weights" / f"{name}.safetensors"

    def save_weights(self, name: str, network: nn.Module, recipe: Recipe, facts: dict[str, str]) -> Path:
        """Write the public artefact ``weights/NAME.safetensors``."""
        path = self.weights(name)
        write_atomically(path, lambda beside: save_weights(beside, network, recipe, facts))
        return path

    def save(self, step: int, engine: Engine, progress: Progress, *, main: bool) -> None:
        """Write a checkpoint and the last weights; every process takes part, the main one writes."""
        state = engine.state_dict()
        if main:
            save_checkpoint(self.checkpoints, step, {"engine": state, "progress": asdict(progress)})
            self.save_weights("last", engine.best_generator, engine.recipe, {"restorekit.step": str(step)})

    def resume(self, engine: Engine) -> tuple[int, Progress]:
        """Load the main process's newest checkpoint; returns its step and progress, those of a start without one."""
        runtime = engine.runtime
        parts = {"engine": engine.PARTS, "progress": ()}
        place = torch.device("cpu") if runtime.many else runtime.device  # from where it can be sent to any process
        state = runtime.from_main(lambda: load_checkpoint(self.checkpoints, place, parts))
        if state is None:
            return 0, Progress()
        engine.load_state_dict(state["engine"])
        return int(state["step"]), Progress(**state["progress"])
