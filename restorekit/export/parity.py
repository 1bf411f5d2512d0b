"""Whether an exported file computes what PyTorch does, and what smaller numbers cost."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from restorekit.data.imageset import ImageSet
from restorekit.data.sets import resolve
from restorekit.errors import RestorekitError
from restorekit.interface import Output, SizeRule
from restorekit.metrics.quality import PSNR
from restorekit.padding import pad_to_rule
from restorekit.pixels import Pixels, Planes, to_image, to_levels, unit
from restorekit.runtime.network import OnnxNetwork

TOLERANCE = 1e-4
_SHAPES = ((1, 64, 64), (2, 96, 160), (1, 211, 137))  # batch, height, width before they are padded
_MOST_IMAGES = 16
_CROP = 256


@dataclass(frozen=True)
class Cost:
    """What a precision costs on images, in dB of PSNR (``rgb``, 8 bit).

    `images`: how many of which set were measured. `calibrated`: how many others gave the ranges of 8-bit integers.
    `agreement`: PSNR of the results against those in float32. `before`, `after`: PSNR against the clean images in
    float32 and in the precision; None without clean images.
    """

    images: str
    calibrated: int
    agreement: float
    before: float | None = None
    after: float | None = None


def differences(network: nn.Module, exported: OnnxNetwork) -> dict[str, float]:
    """Return the largest difference between both networks, in [0, 1], on noise of three sizes ("BxHxW")."""
    found: dict[str, float] = {}
    rule = exported.facts.rule
    for batch, *sides in _SHAPES:
        height, width = (rule.padded(side) for side in sides)
        noise = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height))
        with torch.inference_mode():
            expected = Output.of(network(noise)).image.clamp(0, 1)
        found[f"{batch}x{height}x{width}"] = float((expected - torch.from_numpy(exported(noise.numpy()))).abs().max())
    return found


def require_equal(found: dict[str, float]) -> None:
    """Raise `RestorekitError` when a difference is larger than `TOLERANCE`."""
    size, worst = max(found.items(), key=lambda item: item[1])
    if not worst <= TOLERANCE:
        raise RestorekitError(
            f"the exported network differs from PyTorch's by {worst:.2g} at {size} (allowed: {TOLERANCE:g}); nothing"
            " was written. One of its operations means something else in ONNX: report it to the model's author"
        )


class Samples:
    """Images of a set, at most 16: every other one to calibrate with, the rest to measure with.

    A single image does both. Sides are cut to 256 pixels, and padded to `rule`. Raises what `resolve` does.
    """

    def __init__(self, images: str, rule: SizeRule) -> None:
        found: ImageSet = resolve(images)
        self.label = found.label
        self.rule = rule
        chosen = [found.read(index) for index in range(0, len(found), max(1, len(found) // _MOST_IMAGES))]
        self.samples = chosen[:_MOST_IMAGES]

    @property
    def calibrating(self) -> list[Planes]:
        """The degraded images to calibrate with, [1, 3, H, W]."""
        return [pad_to_rule(_image(s.degraded), self.rule)[0].numpy() for s in self.samples[::2]]

    def cost(self, plain: OnnxNetwork, small: OnnxNetwork, calibrated: int) -> Cost:
        """Measure `small` against `plain`."""
        psnr, used = PSNR("rgb"), self.samples[1::2] or self.samples
        rows: list[Sequence[float]] = []
        for sample in used:
            degraded = _image(sample.degraded)
            one, other = (_restored(network, degraded, self.rule) for network in (plain, small))
            pairs = [(other, one)]
            if sample.clean is not None:
                pairs += [
                    (one, _image(sample.clean)),
                    (other, _image(sample.clean)),
                ]
            rows.append([float(psnr(restored, clean)) for restored, clean in pairs])
        means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
        return Cost(f"{len(used)} of {self.label}", calibrated, *means)


def _image(pixels: Pixels) -> Tensor:
    return to_image(pixels[:_CROP, :_CROP])


def _restored(network: OnnxNetwork, degraded: Tensor, rule: SizeRule) -> Tensor:
    padded, crop = pad_to_rule(degraded, rule)
    return unit(to_levels(crop(torch.from_numpy(network(padded.numpy())))))
