"""Scoring a generator on whole images while it trains."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from restorekit.data.sets import ImageSet
from restorekit.data.synthesis import synthesize
from restorekit.engine.feed.badimages import BadImages
from restorekit.engine.feed.order import sample_key, step_seed
from restorekit.engine.runtime import Runtime
from restorekit.errors import DataError
from restorekit.interface import Output, SizeRule
from restorekit.metrics.quality import PSNR, SSIM
from restorekit.padding import pad_to_rule
from restorekit.pixels import to_image
from restorekit.recipe import Recipe

METRICS: dict[str, PSNR | SSIM] = {"psnr-rgb": PSNR("rgb"), "ssim-rgb": SSIM("rgb"), "psnr-y-matlab": PSNR("y-matlab")}


@dataclass(frozen=True)
class Example:
    """One restored image beside its input and, if known, its clean version: [1, 3, H, W] on the CPU."""

    name: str
    degraded: Tensor
    restored: Tensor
    clean: Tensor | None


def _pair(images: ImageSet, index: int, recipe: Recipe) -> tuple[str, Tensor, Tensor | None]:
    sample = images.read(index)
    degraded = to_image(sample.degraded)
    clean = None if sample.clean is None else to_image(sample.clean)
    if recipe.data.synthesis and clean is None:
        synthesis = recipe.data.synthesis
        clean, key = degraded, torch.tensor([sample_key(-1, index)])
        degraded, _ = synthesize(clean, key, synthesis.task, synthesis.preset, synthesis.settings)
    return sample.name, degraded, clean


# not inference_mode: a table that a network or loss caches here must stay fit for training
@torch.no_grad()
def restore_plain(network: nn.Module, degraded: Tensor, runtime: Runtime) -> Tensor:
    """Return the restored image [1, 3, H, W] float32 in [0, 1], on the device."""
    padded, crop = pad_to_rule(degraded.to(runtime.device), SizeRule.of(network))
    with runtime.autocast():
        output = Output.of(network(padded.contiguous(memory_format=torch.channels_last)))
    return crop(output.image.float()).clamp(0, 1)


def evaluate(
    network: nn.Module,
    images: ImageSet,
    recipe: Recipe,
    runtime: Runtime,
    *,
    examples: int = 4,
    bad: BadImages | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, float], list[Example]] | None:
    """Return the mean of every metric over `images`, and the first few as examples; None when `stopped`.

    Each image is scored by exactly one process. Without clean images there are examples only.
    """
    was_training = network.training
    network.eval()
    scores: list[tuple[int, dict[str, float]]] = []
    shown: list[Example] = []
    try:
        for index in range(runtime.share.rank, len(images), runtime.share.world):
            if stopped():
                break
            example = _example(network, images, index, recipe, runtime, bad or BadImages())
            if example is None:
                continue
            if example.clean is not None:
                pair = example.restored, example.clean
                scores.append((index, {k: float(m(*pair)) for k, m in METRICS.items()}))
            if index < examples:
                shown.append(example)
    finally:
        network.train(was_training)
    if any(runtime.gather([stopped()])):
        return None
    return _means(runtime.gather(scores)), sorted(runtime.gather(shown), key=lambda e: images.names.index(e.name))


def _example(
    network: nn.Module, images: ImageSet, index: int, recipe: Recipe, runtime: Runtime, bad: BadImages
) -> Example | None:
    """Restore image `index`; None for one that cannot be read, where that is allowed."""
    try:
        name, degraded, clean = _pair(images, index, recipe)
    except DataError as error:
        bad.note(images.names[index], error)
        return None
    torch.manual_seed(step_seed(recipe.seed, index))  # for networks that draw noise in eval mode too
    return Example(name, degraded, restore_plain(network, degraded, runtime).cpu(), clean)


def _means(scores: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """Return the mean of every metric, summed in the order of the images on any number of processes."""
    values = [v for _, v in sorted(scores, key=lambda item: item[0])]
    return {k: math.fsum(v[k] for v in values) / len(values) for k in METRICS} if values else {}
