"""``restorekit train``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from restorekit.processes import is_first_process

if TYPE_CHECKING:
    from restorekit.data.sets import ImageSet
    from restorekit.engine import Options, RunResult
    from restorekit.recipe import Recipe

INTERRUPTED = 130  # 128 + SIGINT, as shells expect


def _recipe(model: str, file: Path | None, overrides: tuple[str, ...], precision: str | None) -> Recipe:
    from restorekit.plugin.registry import registry
    from restorekit.recipe import apply_overrides
    from restorekit.recipe.check import model_recipe
    from restorekit.recipe.toml import read_recipe_file

    recipe = read_recipe_file(file) if file else model_recipe(registry(), model)
    extra = (f"precision={precision}",) if precision else ()
    return apply_overrides(recipe, (*overrides, *extra))


def _images(sources: tuple[str, ...], lenient: bool) -> ImageSet:
    from restorekit.data.combine import join
    from restorekit.data.sets import training_part

    return join([training_part(source, lenient) for source in sources])


def _validation(images: ImageSet, given: str | None, recipe: Recipe) -> tuple[ImageSet, ImageSet | None]:
    from restorekit.data.combine import hold_out
    from restorekit.data.sets import resolve

    if given == "none":
        return images, None
    if given:
        return images, resolve(given)
    if not images.paired and recipe.data.synthesis is None:
        return images, None
    return hold_out(images)


def _start(model: str, init: str | None) -> Path | None:
    from restorekit.plugin.registry import registry
    from restorekit.weights.find import find_weights, given_weights

    if init is None:
        return None
    found = given_weights(init)  # a recipe of a file may be trained as a model that is not installed
    return found.path if found else find_weights(registry().find("model", model), init).path


@click.command("train")
@click.argument("model")
@click.option("--data", required=True, multiple=True, help="Data set or folder to train on; repeat to join several.")
@click.option("--val", help="Data set or folder to validate on; 'none' for none. Default: a held-out tenth.")
@click.option("-o", "--output", "run", type=click.Path(path_type=Path), help="The run's folder. [runs/MODEL]")
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe.")
@click.option("--recipe", "file", type=click.Path(path_type=Path), help="Train this TOML recipe, as MODEL.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--precision", type=click.Choice(["auto", "bf16", "fp16", "fp32"]), help="Sets the recipe's precision.")
@click.option("--compile", "compiled", type=click.Choice(["auto", "on", "off"]), default="auto", show_default=True)
@click.option("--max-steps", type=click.IntRange(1), help="Stop after this step; the same command goes on later.")
@click.option("--log-every", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--on-nan",
    type=click.Choice(["stop", "rollback", "skip"]),
    default="stop",
    show_default=True,
    help="After a loss or gradient that is not finite (its update never happens).",
)
@click.option(
    "--on-bad-image",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="When an image cannot be read; skip counts them.",
)
@click.option("--init", help="Weights to start from: a file, a run, a name or hf://owner/repo; what fits is taken.")
@click.option("--track", multiple=True, metavar="PLUGIN", help="Let this plugin follow the run; may be repeated.")
@click.option("--check", is_flag=True, help="Try everything briefly, estimate time and memory, and train nothing.")
@click.option("--profile", is_flag=True, help="Trace a few steps and say where the time goes.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
def command(
    model: str,
    data: tuple[str, ...],
    val: str | None,
    run: Path | None,
    overrides: tuple[str, ...],
    file: Path | None,
    device: str,
    precision: str | None,
    compiled: str,
    max_steps: int | None,
    log_every: int,
    on_nan: Literal["stop", "rollback", "skip"],
    on_bad_image: Literal["stop", "skip"],
    init: str | None,
    track: tuple[str, ...],
    check: bool,
    profile: bool,
    quiet: bool,
) -> None:
    """Train MODEL. Running the same command again goes on where it stopped."""
    from restorekit.engine import Options

    recipe = _recipe(model, file, overrides, precision)
    images, validation = _validation(_images(data, on_bad_image == "skip"), val, recipe)
    options = Options(
        device=device,
        compile=compiled,
        max_steps=max_steps,
        log_every=log_every,
        on_nan=on_nan,
        on_bad_image=on_bad_image,
        profile=profile,
        init=_start(model, init),
    )
    options = replace(options, track=track or None)
    if check:
        _check(recipe, images, validation, options)
        return
    folder = run or Path("runs") / model.replace("/", "-")
    try:
        result = _train(recipe, images, validation, folder, options, quiet)
    except KeyboardInterrupt:
        click.echo("interrupted before the step was finished; the last checkpoint stands", err=True)
        sys.exit(INTERRUPTED)
    _report(result)
    sys.exit(result.exit_code)


def _check(recipe: Recipe, images: ImageSet, validation: ImageSet | None, options: Options) -> None:
    from restorekit.engine.run.preflight import preflight

    found = preflight(recipe, images, validation, options)
    click.echo("\n".join(found.lines(recipe)))
    if not found.learns:
        sys.exit(1)


def _train(
    recipe: Recipe, images: ImageSet, validation: ImageSet | None, folder: Path, options: Options, quiet: bool
) -> RunResult:
    from restorekit.cli.progress import training_progress
    from restorekit.engine import train

    with training_progress(recipe, images, validation, folder, quiet) as on_step:
        return train(recipe, images, folder, validation=validation, options=options, on_step=on_step)


def _report(result: RunResult) -> None:
    if not is_first_process():
        return
    click.echo(f"{'finished' if result.completed else 'stopped'} after step {result.step}: {result.run}")
    for name, value in sorted(result.best.items()):
        click.echo(f"  best {name}: {value:.4f}")
    if result.bad_images:
        click.echo(f"  left out, because they cannot be read: {len(result.bad_images)} images")
    if result.report:
        click.echo(result.report)
