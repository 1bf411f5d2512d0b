"""Crops a second and share of the matrix rate in training, for every generator at its shipped width, in one run.

    python benchmarks/training_speed.py [--models derain,attngan] [--cores 1,2] [--compile] [--crop 192] [--batch 4]

The forward and backward pass of the generator alone, in the middle of which nothing else runs: what a training run
could reach if data, losses and optimizer cost nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from restorekit.interface import Output, SizeRule
from restorekit.networks import build_generator
from restorekit.plugin.registry import Component, registry
from restorekit.recipe import Recipe
from restorekit.recipe.check import model_recipe
from restorekit.weights import find_weights, weights_state
from restorekit.weights.files import recipe_of

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
REPEATS = 5


@dataclass(frozen=True)
class Way:
    """How a generator is run."""

    cores: int
    precision: str
    compiled: bool


def chosen_recipes(names: str | None) -> dict[str, Recipe]:
    """Return the recipes of the named models, or of each distinct generator, at the width that is shipped."""
    if names:
        return {name: _shipped_recipe(registry().find("model", name)) for name in names.split(",")}
    found: dict[str, Recipe] = {}
    for component in registry().components("model"):
        recipe = _shipped_recipe(component)
        if recipe.generator not in [known.generator for known in found.values()]:
            found[component.entry.name] = recipe
    return found


def _shipped_recipe(component: Component) -> Recipe:
    own = model_recipe(registry(), component.id)
    if weights_state(component.entry) != "shipped":
        return own
    return recipe_of(find_weights(component).path) or own


def matrix_rate(precision: str, size: int = 2048) -> float:
    """Return the floating-point operations per second of a square matrix product."""
    a = torch.randn(size, size, dtype=DTYPES[precision])
    return 2 * size**3 / _median(lambda: a @ a)


def _median(run: Callable[[], object]) -> float:
    times = []
    for _ in range(1 + REPEATS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def _step(network: nn.Module, images: Tensor, precision: str) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        output = Output.of(network(images)).float()
    output.image.square().mean().backward()  # type: ignore[no-untyped-call]
    network.zero_grad(set_to_none=True)


def measure(recipe: Recipe, way: Way, crop: int, batch: int) -> tuple[float, float]:
    """Return crops and floating-point operations per second of forward and backward."""
    torch.set_num_threads(way.cores)
    network = build_generator(recipe).to(memory_format=torch.channels_last)
    side = SizeRule.of(network).padded(crop)
    images = torch.rand(batch, 3, side, side).contiguous(memory_format=torch.channels_last)
    with FlopCounterMode(display=False) as counter:
        _step(network, images, way.precision)
    if way.compiled:
        network.compile()
    seconds = _median(lambda: _step(network, images, way.precision))
    return batch / seconds, counter.get_total_flops() / seconds


def lines(models: dict[str, Recipe], ways: list[Way], crop: int, batch: int) -> Iterator[str]:
    """Yield the table as Markdown, row by row."""
    yield "| generator | cores | precision | compiled | crops/s | GFLOP/s | share of matrix rate |"
    yield "|---|---|---|---|---|---|---|"
    for way in ways:
        torch.set_num_threads(way.cores)
        rate = matrix_rate(way.precision)
        for name, recipe in models.items():
            crops, flops = measure(recipe, way, crop, batch)
            yield (
                f"| {name} | {way.cores} | {way.precision} | {'yes' if way.compiled else 'no'} | {crops:.1f} |"
                f" {flops / 1e9:.0f} | {flops / rate:.0%} |"
            )


@click.command()
@click.option("--models", help="Only these, joined by commas. Default: every generator that a model ships with.")
@click.option("--cores", default="1,2", show_default=True, help="Numbers of threads, joined by commas.")
@click.option("--compile", "compiled", is_flag=True, help="Also compiled.")
@click.option("--crop", default=192, show_default=True, type=click.IntRange(16))
@click.option("--batch", default=4, show_default=True, type=click.IntRange(1))
def main(models: str | None, cores: str, compiled: bool, crop: int, batch: int) -> None:
    """Print the table."""
    chosen = chosen_recipes(models)
    numbers = [int(number) for number in cores.split(",")]
    modes = (False, True) if compiled else (False,)
    ways = [Way(number, precision, mode) for mode in modes for number in numbers for precision in DTYPES]
    for line in lines(chosen, ways, crop, batch):
        click.echo(line)


if __name__ == "__main__":
    main()
