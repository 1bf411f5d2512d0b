"""Non-local stochastic sampling (NSS): replace rain by rain-free pixels that lie in similar patches.

Rain2Avoid's sampler, for an 8-bit image I and a prior P, both with values 0..255. Rain is P > 10. For each
rain pixel p the candidates are the pixels q of its 7x7 neighbourhood, inside the image, with P(q) = 0. A
candidate is drawn with probability proportional to 1 / max(sqrt(L1), 1e-4), where L1 is the distance of the
3x3 patches around p and q over RGB, counting only positions that are rain-free around p (P = 0, or beyond
the image, where the value is 0), or, by choice, only the others: the rain. The patches grow by 2 until the
part inside the image of p's patch has a position with P = 0. A pixel without candidates, and every other
pixel, keeps its value.

How it is computed: with D_o(x) = counted(x) |I(x) - I(x + o)|, the distance for the candidate p + o is the sum
of D_o over the patch of p, a box filter. A pixel with a candidate has a rain-free position within 3 pixels,
so that patches of 3, 5 and 7 are all there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from restorekit_rain2avoid.mask import THRESHOLD

Compare = Literal["rain-free", "rain"]
COMPARISONS: tuple[Compare, ...] = ("rain-free", "rain")
"""Which positions around the rain pixel the distance counts. The authors' own outputs follow ``"rain"``."""

REACH = 3
"""Candidates lie at most this many pixels away in x and in y."""

_PAD = 2 * REACH
_RADII = range(1, REACH + 1)
_SMALLEST_ROOT = 1e-4
_BAND_PIXELS = 1 << 17
_HALF = [(y, x) for y in range(REACH + 1) for x in range(-REACH, REACH + 1) if y > 0 or x > 0]
OFFSETS = [(-y, -x) for y, x in reversed(_HALF)] + _HALF
"""The 48 candidates' places relative to the rain pixel, (row, column), in reading order."""


@dataclass(frozen=True)
class Band:
    """The rain pixels of some rows that have candidates.

    `pixels`: [N] int64, their place in the flattened image. `weights`: [N, 48] float32, not normalised, 0
    for what is no candidate, in the order of `OFFSETS`. `width`: columns of the image.
    """

    pixels: Tensor
    weights: Tensor
    width: int

    def steps(self) -> Tensor:
        """Return the offsets as steps in the flattened image: [48] int64."""
        steps = [y * self.width + x for y, x in OFFSETS]
        return torch.tensor(steps, device=self.pixels.device)


def candidate_bands(
    image_CHW: Tensor, prior_HW: Tensor, band_pixels: int = _BAND_PIXELS, compare: Compare = "rain-free"
) -> Iterator[Band]:
    """Yield the sampling weights of all rain pixels, a few rows at a time, from top to bottom.

    `image_CHW`: uint8 [3, H, W]. `prior_HW`: uint8 [H, W], over 10 is rain and 0 rain-free. `band_pixels`:
    about how many pixels a band has; memory grows with it and not with the image. `compare`: the positions that
    the distance counts, of rain (P > 0) or rain-free.
    """
    height, width = prior_HW.shape
    rows = max(1, band_pixels // width)
    image = functional.pad(image_CHW, (_PAD,) * 4)
    free = functional.pad(prior_HW == 0, (_PAD,) * 4)
    inside = functional.pad(torch.ones_like(prior_HW, dtype=torch.bool), (_PAD,) * 4)
    rain = prior_HW > THRESHOLD
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        if not bool(rain[top:bottom].any()):
            continue
        part = slice(top, bottom + 2 * _PAD)
        weigher = _Weigher(image[:, part], free[part], inside[part], compare)
        pixels, weights = weigher.weigh(rain[top:bottom])
        yield Band(pixels + top * width, weights, width)


def expectation(image_CHW: Tensor, bands: Iterable[Band]) -> Tensor:
    """Return the mean over all references, exactly: float32 [3, H, W], in the unit of the image.

    `image_CHW`: [3, H, W], where pixels are taken from; any type. `bands`: see `candidate_bands`.
    """
    mean = image_CHW.float().clone()
    channels = image_CHW.reshape(len(image_CHW), -1).float()
    flat = mean.view(len(image_CHW), -1)
    for band in bands:
        total = torch.zeros(len(channels), len(band.pixels), device=mean.device)
        shares = band.weights.T / band.weights.sum(1)
        for step, share in zip(band.steps().tolist(), shares, strict=True):
            places = (band.pixels + step).clamp_(0, channels.shape[1] - 1)
            for channel, sums in zip(channels, total, strict=True):
                sums.addcmul_(channel.index_select(0, places), share)
        flat.index_copy_(1, band.pixels, total)
    return mean


def draw(image_CHW: Tensor, bands: Iterable[Band], count: int, generator: torch.Generator) -> Tensor:
    """Return `count` independent references [count, 3, H, W], of the image's type.

    Every pixel of every reference is drawn on its own, by inverting the cumulative weights. The random
    numbers come from `generator` alone; with one on the CPU the result does not depend on the bands, nor,
    but for rounding, on the device.
    """
    references = image_CHW.expand(count, *image_CHW.shape).clone(memory_format=torch.contiguous_format)
    flat = references.view(count, len(image_CHW), -1)
    channels = image_CHW.reshape(len(image_CHW), -1)
    for band in bands:
        places = _drawn_places(band, count, generator)
        for index, channel in enumerate(channels):
            picked = channel.index_select(0, places.flatten()).view(count, -1)
            flat[:, index].index_copy_(1, band.pixels, picked)
    return references


def _drawn_places(band: Band, count: int, generator: torch.Generator) -> Tensor:
    """Return the flattened places [count, N] int64 of one drawn candidate per reference and pixel."""
    cumulative = band.weights.cumsum(1)
    uniform = torch.rand(len(band.pixels), count, generator=generator, device=generator.device)
    # In (0, total]: the first entry that reaches such a level always belongs to a real candidate.
    levels = (1 - uniform.to(cumulative.device)).mul_(cumulative[:, -1:])
    choice = torch.searchsorted(cumulative, levels)
    return band.steps()[choice].add_(band.pixels[:, None]).T.contiguous()


class _Weigher:
    """Weighs the candidates of one band of rows, all 48 for all rain pixels.

    `image`: uint8 [3, h + 12, w + 12], the band with 6 pixels around it, 0 beyond the image; `free`: where
    P = 0, False beyond; `inside`: where the image is; `compare`: see `COMPARISONS`. Distances are 16-bit
    integers: those of 3x3 patches reach 6885. Patches of 7x7 would overflow; larger ones are rare, and summed
    apart.
    """

    def __init__(self, image: Tensor, free: Tensor, inside: Tensor, compare: Compare) -> None:
        self.image = image.short()
        self.free = free
        self.height, self.width = free.shape[0] - 2 * _PAD, free.shape[1] - 2 * _PAD
        # All bits set where a position counts, so that "and" selects the differences.
        counted = free | ~inside if compare == "rain-free" else inside & ~free
        self.counted = -_trimmed(counted, REACH).short()

    def weigh(self, rain: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pixels [N] with candidates and their weights [N, 48], for `rain` bool [h, w]."""
        near = [_any_within(_trimmed(self.free, _PAD - radius), radius) for radius in _RADII]
        pixels = (rain & near[-1]).flatten().nonzero()[:, 0]
        radii = len(near) - torch.stack(near)[:-1].flatten(1).index_select(1, pixels).sum(0)
        groups = {radius: (radii == radius).nonzero()[:, 0] for radius in _RADII}
        places = self._places(pixels, _PAD)
        weights = torch.empty(len(OFFSETS), len(pixels), device=rain.device)
        free = self.free.flatten()
        for (y, x), difference in self._differences():
            row = weights[OFFSETS.index((y, x))]
            row.copy_(self._patch_sums(difference, pixels, groups))
            row.sqrt_().clamp_(min=_SMALLEST_ROOT).reciprocal_()
            row.mul_(free.index_select(0, places + (y * (self.width + 2 * _PAD) + x)))
        return pixels, weights.T.contiguous()

    def _places(self, pixels: Tensor, pad: int) -> Tensor:
        """Return the pixels' places in the flattened band with `pad` pixels around."""
        rows = pixels // self.width
        return pixels + rows * (2 * pad) + (pad * (self.width + 2 * pad) + pad)

    def _differences(self) -> Iterator[tuple[tuple[int, int], Tensor]]:
        """Yield each offset o and D_o, int16 [h + 6, w + 6].

        |I(x) - I(x - o)| is |I(x) - I(x + o)| moved by o, so that each serves two offsets.
        """
        for y, x in _HALF:
            left, right = max(x, 0), max(-x, 0)
            rows = slice(_PAD - REACH - y, _PAD + self.height + REACH)
            columns = slice(_PAD - REACH - left, _PAD + self.width + REACH + right)
            here = self.image[:, rows, columns]
            there = self.image[:, rows.start + y : rows.stop + y, columns.start + x : columns.stop + x]
            apart = here.sub(there).abs_()
            distance = apart[0].add_(apart[1]).add_(apart[2])
            yield (y, x), self._select(distance, y, left)
            yield (-y, -x), self._select(distance, 0, right)

    def _select(self, distance: Tensor, top: int, left: int) -> Tensor:
        height, width = self.counted.shape
        return distance[top : top + height, left : left + width] & self.counted

    def _patch_sums(self, difference: Tensor, pixels: Tensor, groups: dict[int, Tensor]) -> Tensor:
        """Return the sum of D_o over each pixel's patch, float32 [N]; `groups`: pixels by patch radius."""
        middle = _trimmed(difference, REACH - 1)
        columns = (middle[:, :-2] + middle[:, 1:-1]).add_(middle[:, 2:])
        boxes = (columns[:-2] + columns[1:-1]).add_(columns[2:])
        sums = boxes.flatten().index_select(0, pixels).float()
        for radius, members in groups.items():
            if radius > 1 and len(members):
                around = self._around(pixels[members], radius)
                sums[members] = difference.flatten()[around].float().sum(1)
        return sums

    def _around(self, pixels: Tensor, radius: int) -> Tensor:
        """Return the places of the patches' positions [n, (2 radius + 1)^2] in a flattened D_o."""
        reach = torch.arange(-radius, radius + 1, device=pixels.device)
        steps = (reach[:, None] * (self.width + 2 * REACH) + reach).flatten()
        return self._places(pixels, REACH)[:, None] + steps


def _trimmed(values: Tensor, margin: int) -> Tensor:
    """Return `values` [rows, columns] without `margin` pixels on each side."""
    return values[margin : values.shape[0] - margin, margin : values.shape[1] - margin]


def _any_within(mask: Tensor, radius: int) -> Tensor:
    """Return where any pixel of the square of this radius is set; `radius` pixels smaller on each side."""
    height, width = mask.shape[0] - 2 * radius, mask.shape[1] - 2 * radius
    found = mask[:, :width]
    for step in range(1, 2 * radius + 1):
        found = found | mask[:, step : step + width]
    result = found[:height]
    for step in range(1, 2 * radius + 1):
        result = result | found[step : step + height]
    return result
