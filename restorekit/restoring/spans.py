"""Where tiles lie along one axis and how they fade into each other. Torch is not imported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import RestorekitError
from restorekit.interface import SizeRule
from restorekit.notices import notice_once

FEATHER = 16  # pixels over which one tile fades into the next
FARTHEST = 128  # pixels: networks that look so far or further are taken to look at the whole image


@dataclass(frozen=True)
class Span:
    """One tile along one axis: pixels [start, stop) and the weight [stop - start] of each; weights sum to 1."""

    start: int
    stop: int
    weight: NDArray[np.float32]


@dataclass(frozen=True)
class Tiling:
    """How an image is cut: tiles of `tile` pixels per side (0: not at all) that share `overlap` with the next.

    The outer `margin` pixels of a tile are thrown away where there is a neighbour. `rule`: sizes that the network
    takes.
    """

    tile: int
    overlap: int
    margin: int
    rule: SizeRule

    def spans(self, size: int) -> list[Span]:
        """Cut [0, size), a size that the rule allows."""
        return spans(size, self.tile or size, self.overlap, self.rule.multiple, self.margin)


def tiling_of(tile: int, reach: int, rule: SizeRule) -> Tiling:
    """Return the tiling for a network that looks `reach` pixels far; warn when the tiles are too small for it."""
    overlap = min(2 * reach + FEATHER, tile // 2)
    if tile and reach >= FARTHEST:
        notice_once(
            f"this network looks {FARTHEST} pixels far or at the whole image, and gets tiles of {tile}: the result"
            " differs from that of the whole image, and seams may show; --tile 0 restores it as one, if the memory"
            " suffices"
        )
        return Tiling(tile, overlap, min(reach, max(overlap - FEATHER, 0) // 2), rule)
    if tile and overlap < 2 * reach:
        notice_once(
            f"tiles of {tile} pixels are small for this network, which looks {reach} pixels far: their seams may"
            f" show; tiles of {2 * (2 * reach + FEATHER)} and more have none"
        )
    return Tiling(tile, overlap, min(reach, max(overlap - FEATHER, 0) // 2), rule)


def tile_for(budget: float, bytes_per_pixel: float, rule: SizeRule) -> int:
    """Return the pixels per side of the largest tile that `budget` bytes allow."""
    return padded_tile(int((budget / bytes_per_pixel) ** 0.5) // rule.multiple * rule.multiple, rule)


def padded_tile(size: int, rule: SizeRule) -> int:
    """Return a tile size that the network accepts and that can overlap its neighbour."""
    return rule.padded(max(size, 2 * rule.multiple))


def spans(size: int, tile: int, overlap: int, multiple: int, margin: int) -> list[Span]:
    """Cut [0, size) into spans of at most `tile` pixels that share at least `overlap` with the next.

    Raises `RestorekitError` for a tile that is not larger than its overlap.
    """
    tile = SizeRule(multiple).padded(tile)
    if tile >= size:
        return [Span(0, size, np.ones(size, np.float32))]
    step = (tile - overlap) // multiple * multiple
    feather = overlap - 2 * margin
    if step < 1 or feather < 0:
        raise RestorekitError(
            f"tiles of {tile} pixels cannot overlap by {overlap} with a margin of {margin}; use larger tiles"
            " (--tile), or 0 for none"
        )
    starts = [*range(0, size - tile, step), size - tile]
    ramps = [_ramp(tile, start > 0, start + tile < size, margin, feather) for start in starts]
    total = np.zeros(size, np.float32)
    for start, ramp in zip(starts, ramps, strict=True):
        total[start : start + tile] += ramp
    return [Span(s, s + tile, ramp / total[s : s + tile]) for s, ramp in zip(starts, ramps, strict=True)]


def _ramp(tile: int, fade_in: bool, fade_out: bool, margin: int, feather: int) -> NDArray[np.float32]:
    """Return [tile] weights: 0 in the margin, then rising linearly to 1, where there is a neighbour."""
    position = np.arange(tile, dtype=np.float32)
    rising = np.clip((position - margin + np.float32(0.5)) / np.float32(feather or 1e-6), 0, 1)
    weight = np.ones(tile, np.float32)
    if fade_in:
        weight = np.minimum(weight, rising)
    return np.minimum(weight, rising[::-1]) if fade_out else weight
