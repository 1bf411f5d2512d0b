"""Scoring a generator on whole images while it trains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from restorekit.data.crops import Pixels
from restorekit.data.sets import ImageSet
from restorekit.data.synthesis import synthesize
from restorekit.engine.order import sample_key
from restorekit.engine.runtime import Runtime
from restorekit.engine.task import size_rule_of
from restorekit.metrics.quality import PSNR, SSIM
from restorekit.padding import pad_to_rule
from restorekit.recipe import Recipe
from restorekit.types import Output

METRICS: dict[str, PSNR | SSIM] = {"psnr-rgb": PSNR("rgb"), "ssim-rgb": SSIM("rgb"), "psnr-y-matlab": PSNR("y-matlab")}


@dataclass(frozen=True)
class Example:
    """One restored image beside its input and, if known, its clean version: [1, 3, H, W] on the CPU."""

    name: str
    degraded: Tensor
    restored: Tensor
    clean: Tensor | None


def _tensor(pixels: Pixels) -> Tensor:
    return torch.tensor(pixels).movedim(-1, 0)[None].float() / 255


def _pair(images: ImageSet, index: int, recipe: Recipe) -> tuple[str, Tensor, Tensor | None]:
    sample = images.read(index)
    degraded = _tensor(sample.degraded)
    clean = None if sample.clean is None else _tensor(sample.clean)
    if recipe.data.synthesis and clean is None:
        synthesis = recipe.data.synthesis
        clean, key = degraded, torch.tensor([sample_key(-1, index)])
        degraded, _ = synthesize(clean, key, synthesis.task, synthesis.preset)
    return sample.name, degraded, clean


@torch.inference_mode()
def restore_plain(network: nn.Module, degraded: Tensor, runtime: Runtime) -> Tensor:
    """Return the restored image [1, 3, H, W] float32 in [0, 1], on the device."""
    padded, crop = pad_to_rule(degraded.to(runtime.device), size_rule_of(network))
    with runtime.autocast():
        output = Output.of(network(padded.contiguous(memory_format=torch.channels_last)))
    return crop(output.image.float()).clamp(0, 1)


def evaluate(
    network: nn.Module, images: ImageSet, recipe: Recipe, runtime: Runtime, examples: int = 4
) -> tuple[dict[str, float], list[Example]]:
    """Return the mean of every metric over `images`, and the first few as examples.

    Each image is scored by exactly one process. Without clean images there are examples only.
    """
    was_training = network.training
    network.eval()
    scores: list[tuple[int, dict[str, float]]] = []
    shown: list[Example] = []
    try:
        for index in range(runtime.share.rank, len(images), runtime.share.world):
            name, degraded, clean = _pair(images, index, recipe)
            restored = restore_plain(network, degraded, runtime).cpu()
            if clean is not None:
                scores.append((index, {k: float(m(restored, clean)) for k, m in METRICS.items()}))
            if index < examples:
                shown.append(Example(name, degraded, restored, clean))
    finally:
        network.train(was_training)
    gathered = [values for _, values in sorted(runtime.gather(scores), key=lambda item: item[0])]
    if not gathered:
        return {}, shown
    return {k: math.fsum(v[k] for v in gathered) / len(gathered) for k in METRICS}, shown
