"""Opening a run: all is checked and built first, then the folder is claimed, then the newest checkpoint is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from restorekit.data.crops import CropSource
from restorekit.data.imageset import ImageSet
from restorekit.engine.feed.badimages import BadImages
from restorekit.engine.feed.batches import Feed
from restorekit.engine.feed.references import referencer_of
from restorekit.engine.run.fitting import Facts, brings_masks, check_crop, check_degraded_first, run_facts
from restorekit.engine.run.folder import IDENTITY, Claim, RunFolder
from restorekit.engine.run.logs import Logs
from restorekit.engine.run.options import Options
from restorekit.engine.run.precautions import (
    look_through,
    require_memory,
    warn_of_batch,
    warn_of_splitting,
    warn_of_start,
)
from restorekit.engine.run.profiling import Profiler
from restorekit.engine.run.trainer import Place, Trainer
from restorekit.engine.runtime import Runtime
from restorekit.engine.step.engine import Engine
from restorekit.interface import SizeRule
from restorekit.notices import tell
from restorekit.plugin.hooks import Hooks
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe
from restorekit.recipe.check import check_recipe
from restorekit.recipe.model import flatten

COMPILE_STEPS = 2000  # below this, compiling costs more than it saves


def open_run(recipe: Recipe, images: ImageSet, validation: ImageSet | None, run: Path, options: Options) -> Trainer:
    """Return what trains `recipe` in the folder `run`, on from the newest checkpoint in it.

    A run that cannot start leaves no lock and no folder. Raises `RecipeError`, `DataError` or `TrainingError`.
    """
    parts = _Parts.of(recipe, images, validation, options)
    folder, runtime = RunFolder(run), parts.engine.runtime
    claim = _claimed(folder, parts)
    try:
        step, progress = folder.resume(parts.engine)
        if step == 0:
            _look(folder, parts, images, validation, options)
        logs = _logs(folder, recipe, step, options) if runtime.main else None
        profiled = options.profile and runtime.main
        profiler = Profiler(folder.path / "trace.json", runtime.device) if profiled else None
    except BaseException:
        if claim:
            claim.withdraw()
        raise
    place = Place(folder, claim, step, progress, logs, profiler)
    return Trainer(parts.engine, parts.feed, parts.bad, validation, options, place)


@dataclass(frozen=True)
class _Parts:
    """What fits together, with nothing written yet. `anew`: names of tensors that ``options.init`` does not have."""

    engine: Engine
    feed: Feed
    bad: BadImages
    facts: Facts
    anew: list[str]

    @classmethod
    def of(cls, recipe: Recipe, images: ImageSet, validation: ImageSet | None, options: Options) -> _Parts:
        check_recipe(recipe, registry(), paired=images.paired, masks=brings_masks(images))
        runtime = Runtime(options.device, recipe.precision)
        runtime.check_batch(recipe.data.batch, recipe.accumulate)
        require_memory(recipe, runtime.share.world)
        facts = run_facts(images, validation, options.init, runtime)
        runtime.check_alike(flatten({"recipe": recipe.plain(), **{key: facts[key] for key in IDENTITY}}))
        engine = Engine(recipe, runtime, compiled=_compiled(recipe, runtime, options))
        bad = BadImages(options.on_bad_image, len(images))
        feed = _feed(engine, images, bad)
        return cls(engine, feed, bad, facts, engine.start_from(options.init) if options.init else [])


def _compiled(recipe: Recipe, runtime: Runtime, options: Options) -> bool:
    long = recipe.steps >= COMPILE_STEPS and runtime.device.type == "cuda"
    return options.compile == "on" or (options.compile == "auto" and long)


def _feed(engine: Engine, images: ImageSet, bad: BadImages) -> Feed:
    recipe, runtime, rule = engine.recipe, engine.runtime, SizeRule.of(engine.generator)
    check_crop(recipe, rule)
    referencer = referencer_of(engine.task.prior, runtime.device)
    if referencer:
        check_degraded_first(recipe)
    source = CropSource(images, recipe.data, rule, referencer)
    return Feed(source, recipe.seed, runtime.share, bad=bad, pin=runtime.device.type == "cuda")


def _claimed(folder: RunFolder, parts: _Parts) -> Claim | None:
    """Let the main process take the folder; every process raises what that one meets."""
    claims: list[Claim] = []

    def take() -> None:
        claims.append(folder.open(parts.engine.recipe, parts.facts))

    parts.engine.runtime.from_main(take)
    return claims[0] if claims else None


def _look(folder: RunFolder, parts: _Parts, images: ImageSet, validation: ImageSet | None, options: Options) -> None:
    """Check the sets of a run that begins, say what was found and what may go wrong, and note it among its facts."""
    engine = parts.engine
    if options.init:
        warn_of_start(options.init, engine.generator, parts.anew)
    if engine.runtime.main:
        warn_of_batch(engine.recipe, images)
        warn_of_splitting(engine.recipe, engine.task.networks, engine.runtime.share.world)
        said, hashes = look_through(images, validation)
        tell(said)
        folder.note({"checked": said, "backgrounds": hashes})


def _logs(folder: RunFolder, recipe: Recipe, step: int, options: Options) -> Logs:
    hooks = Hooks(registry().manager, folder.trackers(options.track), folder.path)
    return Logs(folder.path, hooks, recipe.plain(), step)
