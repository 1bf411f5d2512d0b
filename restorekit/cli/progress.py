"""Progress on the terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from restorekit.bars import bars
from restorekit.data.sets import ImageSet
from restorekit.processes import is_first_process
from restorekit.recipe import Recipe

OnStep = Callable[[int, dict[str, float]], None]


def _headline(values: dict[str, float]) -> str:
    shown = [f"{name.removeprefix('val/')} {value:.4g}" for name, value in values.items() if "norm" not in name]
    return "  ".join(shown[:6])


def print_values(step: int, values: dict[str, float]) -> None:
    """Print one line for a step that logged something."""
    if values:
        click.echo(f"step {step}  {_headline(values)}")


@contextlib.contextmanager
def training_progress(
    recipe: Recipe, images: ImageSet, validation: ImageSet | None, run: Path, quiet: bool
) -> Iterator[OnStep]:
    """Show a bar with rate and time left on a terminal, and lines elsewhere; only on the main process."""
    if quiet or not is_first_process():
        yield lambda step, values: None
        return
    held = f", validating on {len(validation)} of {validation.label}" if validation else ", without validation"
    click.echo(f"training {recipe.name} on {len(images)} images of {images.label}{held}, into {run}")
    if not sys.stderr.isatty():
        yield print_values
        return
    with bars(speed=True) as bar:
        task = bar.add_task(recipe.name, total=recipe.steps)

        def on_step(step: int, values: dict[str, float]) -> None:
            bar.update(task, completed=step)
            if any(name.startswith("val/") for name in values):
                bar.console.print(f"step {step}  {_headline({k: v for k, v in values.items() if 'val/' in k})}")

        yield on_step
