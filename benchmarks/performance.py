"""Speed and memory of training and inference against plain contiguous float32 eager mode, in one run.

    python benchmarks/performance.py [--device cpu|cuda] [--models attngan,remaen] [--compile] [-o performance.json]
    python benchmarks/performance.py --parts quality --images PAIRS    # what the fast precision costs in PSNR

Every figure of the engine stands beside the same network run plainly in the same process, so that ratios hold on a
noisy machine; the share of the measured matrix-product rate says how far the machine's limit is.
"""

from __future__ import annotations

import copy
import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import click
import psutil
import torch
from performance_tables import quality_table, table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from restorekit.data.augment import augment
from restorekit.data.crops import CropSource
from restorekit.data.sets import resolve
from restorekit.devices import autocast, pick_device, pick_precision
from restorekit.engine.feed.batches import Feed, Share
from restorekit.engine.feed.references import referencer_of
from restorekit.engine.runtime import Runtime
from restorekit.engine.step.engine import Engine
from restorekit.engine.step.task import RecipeTask
from restorekit.interface import Batch, Output, SizeRule
from restorekit.metrics.quality import PSNR
from restorekit.networks import build_generator
from restorekit.padding import pad_to_rule
from restorekit.pixels import to_image
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe, apply_overrides
from restorekit.recipe.check import model_recipe
from restorekit.restoring.load import load
from restorekit.weights import weights_state

HEIGHT, WIDTH = 480, 720
PARTS = ("training", "inference", "feed", "quality")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# offline there is no VGG16: the perceptual term is left out on both sides
OFFLINE = ("losses.perceptual=none",)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(runs: Mapping[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, float]:
    """Return the median seconds of every call, behind one each that is not counted.

    They take turns, so that a machine that slows down for a while slows all of them down.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(1 + repeats):
        for name, run in runs.items():
            _wait(device)
            started = time.perf_counter()
            run()
            _wait(device)
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(measured[1:]) for name, measured in times.items()}


def matrix_rate(device: torch.device, precision: str, size: int) -> float:
    """Return the floating-point operations per second of a square matrix product."""
    a = torch.randn(size, size, device=device, dtype=DTYPES[precision])
    return 2 * size**3 / seconds({"product": lambda: a @ a}, device, 3)["product"]


def plain_step(task: RecipeTask, optimizers: Mapping[str, torch.optim.Optimizer], batch: Batch) -> None:
    """Train once, as a plain loop would: float32, contiguous, one generator pass for each phase."""
    for phase in task.phases:
        for name, network in task.networks.items():
            network.requires_grad_(name == phase.trains)
        with torch.set_grad_enabled(phase.trains == "generator"):
            output = task.forward(task.networks, batch)
        terms, _ = task.terms(phase.name, task.networks, batch, output)
        loss = torch.stack([weight * value for weight, value in terms.values()]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizers[phase.name].step()
        optimizers[phase.name].zero_grad()


def _random_batch(recipe: Recipe) -> Batch:
    side, count = recipe.data.crop or 128, recipe.data.batch
    clean = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)
    return Batch((clean.float() * 0.9).to(torch.uint8), clean, key=torch.arange(count))


def training(recipe: Recipe, device: torch.device, repeats: int, compiled: bool) -> dict[str, Any]:
    """Return the samples per second of the engine and of a plain loop, and the operations of a step."""
    batch = _random_batch(recipe)
    task = RecipeTask(recipe)
    task.to(device)
    optimizers = {
        p.name: torch.optim.Adam(task.networks[p.trains].parameters(), lr=p.optim.lr, betas=p.optim.betas)
        for p in task.phases
    }
    floats = task.prepare(augment(batch.to(device), recipe.data))
    if recipe.prior and floats.references is None and "references" in recipe.losses:
        floats = floats.replace(references=floats.degraded[:, None])
        batch = batch.replace(references=batch.degraded[:, None])
    with FlopCounterMode(display=False) as counter:
        plain_step(task, optimizers, floats)
    engine = Engine(recipe, Runtime(str(device), recipe.precision), compiled=compiled)
    runs = {"plain": lambda: plain_step(task, optimizers, floats), "engine": lambda: engine.step(0, batch)}
    taken = seconds(runs, device, repeats)
    return {
        "batch": recipe.data.batch,
        "plain": recipe.data.batch / taken["plain"],
        "engine": recipe.data.batch / taken["engine"],
        "ratio": taken["plain"] / taken["engine"],
        "flop": counter.get_total_flops(),
        "seconds": taken["engine"],
    }


def feeding(recipe: Recipe) -> float:
    """Return the samples per second that the data pipeline delivers, decoded images (and references) being cached."""
    task, pairs = RecipeTask(recipe), resolve("raindrop@builtin")
    referencer = referencer_of(task.prior, torch.device("cpu"))
    feed = Feed(CropSource(pairs, recipe.data, SizeRule.of(task.networks["generator"]), referencer), 0, Share())
    first = math.ceil(len(pairs) / recipe.data.batch)
    for batch in feed.batches(0, first):  # an epoch fills the cache
        augment(batch, recipe.data)
    steps, started = 20, time.perf_counter()
    for batch in feed.batches(first, first + steps):
        augment(batch, recipe.data)
    return steps * recipe.data.batch / (time.perf_counter() - started)


def inference(recipe: Recipe, device: torch.device, precision: str, repeats: int, compiled: bool) -> dict[str, Any]:
    """Return the images per second at 720x480: plain float32, the restorer's way, and compiled."""
    image = torch.rand(1, 3, HEIGHT, WIDTH, device=device)
    network = build_generator(recipe).to(device).eval()
    padded, _ = pad_to_rule(image, SizeRule.of(network))
    packed = padded.contiguous(memory_format=torch.channels_last)
    packed_network = copy.deepcopy(network).to(memory_format=torch.channels_last)
    compiled_network = copy.deepcopy(packed_network)

    def fast(by: nn.Module) -> Tensor:
        with autocast(device, precision):  # type: ignore[arg-type]
            return Output.of(by(packed)).image

    runs: dict[str, Callable[[], object]] = {"plain": lambda: network(padded), "engine": lambda: fast(packed_network)}
    if compiled:
        compiled_network.compile()
        runs["compiled"] = lambda: fast(compiled_network)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            reference = Output.of(network(padded)).image
        taken = seconds(runs, device, repeats)
        difference = float((fast(packed_network).float() - reference).abs().max())
    rates = {name: 1 / one for name, one in taken.items()}
    return {**rates, "flop": counter.get_total_flops(), "largest_difference": difference}


def quality(name: str, device: torch.device, precision: str, images: str, count: int) -> dict[str, Any] | None:
    """Return PSNR against the clean images in float32 and in `precision`; None for a model without weights.

    `largest`: the largest difference of one image in dB. Without `images` built-in ones are taken.
    """
    component = registry().find("model", name)
    if weights_state(component.entry) not in ("user", "shipped"):
        return None
    task = model_recipe(registry(), name).task
    pairs = resolve(images or ("raindrop@builtin" if task == "raindrop" else "rain100l@builtin")).require_paired()
    exact, fast = (load(name, device=str(device), precision=p) for p in ("fp32", precision))
    measured = PSNR("rgb")
    scores: list[tuple[float, float]] = []
    for index in range(0, len(pairs), max(1, len(pairs) // count))[:count]:
        sample = pairs.read(index)
        assert sample.clean is not None
        clean, degraded = to_image(sample.clean), to_image(sample.degraded)
        one, other = (float(measured(r.restore_tensor(degraded), clean)) for r in (exact, fast))
        scores.append((one, other))
    return {
        "images": f"{len(scores)} of {pairs.label}",
        "precision": precision,
        "fp32": statistics.fmean(one for one, _ in scores),
        "fast": statistics.fmean(other for _, other in scores),
        "largest": max(abs(other - one) for one, other in scores),
    }


def measure(
    name: str, parts: Collection[str], overrides: tuple[str, ...], device: torch.device, repeats: int, compiled: bool
) -> dict[str, Any]:
    """Return the figures of one recipe, as far as `parts` names them."""
    recipe = model_recipe(registry(), name)
    known = [o for o in OFFLINE if o.split(".")[1].split("=")[0] in recipe.losses]
    recipe = apply_overrides(recipe, (*known, *overrides))
    precision = pick_precision(recipe.precision, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    row: dict[str, Any] = {"model": name, "precision": precision}
    if "training" in parts:
        row["training"] = training(recipe, device, repeats, compiled and device.type == "cuda")
    if "inference" in parts:
        row["inference"] = inference(recipe, device, precision, repeats, compiled)
    if "feed" in parts:
        row["feed"] = feeding(recipe)
    row["memory"] = (
        torch.cuda.max_memory_allocated(device) if device.type == "cuda" else psutil.Process().memory_info().rss
    )
    return row


@click.command()
@click.option("--models", default="all", help="Names, separated by commas.")
@click.option("--device", default="auto")
@click.option("--repeats", default=3, show_default=True)
@click.option("--compile/--no-compile", "compiled", default=False, help="Measure compiled networks too.")
@click.option("--images", default="", help="Pairs to score the fast precision on; built-in ones otherwise.")
@click.option("--count", default=3, show_default=True, help="How many of them.")
@click.option("--parts", default=",".join(PARTS), show_default=True, help="What to measure.")
@click.option("--set", "overrides", multiple=True, help="Change the recipes, such as data.batch=2.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("performance.json"), show_default=True)
def main(
    models: str,
    device: str,
    repeats: int,
    compiled: bool,
    images: str,
    count: int,
    parts: str,
    overrides: tuple[str, ...],
    output: Path,
) -> None:
    """Measure every recipe, print tables and write JSON."""
    chosen, wanted = pick_device(device), parts.split(",")
    if unknown := set(wanted) - set(PARTS):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: there are {', '.join(PARTS)}", param_hint="--parts")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    names = [c.entry.name for c in registry().components("model")] if models == "all" else models.split(",")
    size = 8192 if chosen.type == "cuda" else 2048
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "image": [HEIGHT, WIDTH],
        "matrix_rate": {p: matrix_rate(chosen, p, size) for p in ("fp32", "bf16")},
        "models": [],
    }
    for name in names:
        row = measure(name, wanted, overrides, chosen, repeats, compiled)
        if "quality" in wanted:
            row["quality"] = quality(name, chosen, pick_precision("auto", chosen), images, count)
        report["models"].append(row)
        output.write_text(json.dumps(report, indent=2))
    rates = ", ".join(f"{p} {rate / 1e9:.0f} GFLOP/s" for p, rate in report["matrix_rate"].items())
    click.echo(f"{report['device']}, {report['threads']} threads, torch {report['torch']}; matrix product {rates}\n")
    tables = [table(report)] * (wanted != ["quality"]) + [quality_table(report)] * ("quality" in wanted)
    click.echo("\n\n".join(tables))


if __name__ == "__main__":
    main()
