"""Training a recipe from the first step to the last, whatever happens in between."""

from __future__ import annotations

from pathlib import Path

from restorekit.data.imageset import ImageSet
from restorekit.engine.run.opening import open_run
from restorekit.engine.run.options import OnStep, Options, RunResult
from restorekit.outofmemory import memory_named
from restorekit.recipe import Recipe

__all__ = ["Options", "RunResult", "train"]


@memory_named("to train", "set a smaller data.batch (accumulate keeps the sum), data.crop or data.cache")
def train(
    recipe: Recipe,
    images: ImageSet,
    run: Path,
    *,
    validation: ImageSet | None = None,
    options: Options | None = None,
    on_step: OnStep | None = None,
) -> RunResult:
    """Train `recipe` on `images` in the folder `run`; goes on where an earlier call stopped.

    `on_step` is called after each step with the step's number and what was logged. Batches, augmentation and
    noise depend on the recipe's seed and the step only, so an interrupted run ends with the same weights.

    Raises `RecipeError`, `DataError` or `TrainingError`; what was saved before stays usable.
    """
    trainer = open_run(recipe, images, validation, run, options or Options())
    with trainer.runtime.company():
        try:
            result = trainer.run(on_step or (lambda step, values: None))
        except Exception as error:
            trainer.close(error)
            raise
        except BaseException:  # the user stops it: the run may go on
            trainer.close()
            raise
        trainer.close()
        return result
