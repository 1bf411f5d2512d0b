"""Histograms of oriented gradients per 80x80 patch, and the rain angle they vote for.

Implements the published HOG of Dalal and Triggs (CVPR 2005) with the conventions that Rain2Avoid's angle
estimate rests on: 8x8-pixel cells, blocks of 4x4 cells one cell apart, 36 unsigned bins of 5 degrees.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Layout = Literal["authors", "orderly"]
LAYOUTS: tuple[Layout, ...] = ("authors", "orderly")

PATCH = 80
CELL = 8
BLOCK_CELLS = 4
BINS = 36
DEGREES_PER_BIN = 5

_BLOCK = BLOCK_CELLS * CELL
_BLOCKS = PATCH // CELL - BLOCK_CELLS + 1
_SIGMA = (_BLOCK + _BLOCK) / 8
_CLIP = 0.2
_VOTES = BLOCK_CELLS * BLOCK_CELLS * BINS
_PATCHES_AT_ONCE = 8


def grey_8bit(image_NCHW: Tensor) -> Tensor:
    """Return the rounded grey image [N, H, W] int32 of an 8-bit RGB image [N, 3, H, W], any integer type.

    0.299 R + 0.587 G + 0.114 B in 15-bit fixed point, as image libraries compute it.
    """
    red, green, blue = image_NCHW.to(torch.int32).unbind(1)
    return (red * 9798 + green * 19235 + blue * 3735 + 16384) >> 15


def patch_histograms(grey_NHW: Tensor, layout: Layout = "authors") -> Tensor:
    """Return one histogram per whole 80x80 patch: [N, patches, 36] float32.

    `grey_NHW`: integer grey values 0..255. What the last whole patch leaves over at the right and at the
    bottom is ignored. An image smaller than a patch is continued by reflection to one patch, so that it
    still has an angle. `layout`: ``"authors"`` reads the cells of a block in the exchanged order of the
    authors' program, ``"orderly"`` in the true one; they weight the cells differently.
    """
    images, height, width = grey_NHW.shape
    if height < PATCH or width < PATCH:
        grey_NHW = _reflect_to_patch(grey_NHW)
        height, width = grey_NHW.shape[1:]
    rows, columns = height // PATCH, width // PATCH
    whole = grey_NHW[:, : rows * PATCH, : columns * PATCH]
    patches = whole.reshape(images, rows, PATCH, columns, PATCH).transpose(2, 3).reshape(-1, PATCH, PATCH)
    parts = [_histograms(part, layout) for part in torch.split(patches, _PATCHES_AT_ONCE)]
    return torch.cat(parts).reshape(images, rows * columns, BINS)


def rain_angles(histograms: Tensor) -> Tensor:
    """Return the rain angle of each image, [N] int64 degrees, from its histograms [N, patches, 36].

    0 is vertical rain. Each patch votes for its strongest bin; the most frequent one wins, the smallest
    among equals. 85 and 90 degrees (horizontal edges) count as 0; angles above 90 become negative.
    """
    votes = functional.one_hot(histograms.argmax(-1), BINS).sum(1)
    angles = votes.argmax(-1) * DEGREES_PER_BIN
    angles = torch.where(angles > 90, angles - 180, angles)
    return torch.where((angles == 85) | (angles == 90), 0, angles)


def _reflect_to_patch(grey_NHW: Tensor) -> Tensor:
    """Continue an image by mirroring (edge pixels not repeated) until both sides have one patch."""

    def mirrored(size: int) -> Tensor:
        period = max(2 * size - 2, 1)
        step = torch.arange(max(size, PATCH), device=grey_NHW.device) % period
        return torch.where(step < size, step, period - step)

    return grey_NHW[:, mirrored(grey_NHW.shape[1])][:, :, mirrored(grey_NHW.shape[2])]


def _histograms(patches: Tensor, layout: Layout) -> Tensor:
    """Return [P, 36] for the patches [P, 80, 80]: the normalised block votes, averaged per cell."""
    spread, cells = _tables(layout, patches.device)
    votes = _bin_votes(patches)
    rows = torch.matmul(spread, votes.view(len(patches), PATCH, PATCH * BINS))
    rows = rows.view(len(patches), _BLOCKS * BLOCK_CELLS, PATCH, BINS)
    blocks = torch.matmul(spread, rows).view(len(patches), _BLOCKS, BLOCK_CELLS, _BLOCKS, BLOCK_CELLS, BINS)
    return torch.einsum("pyixjb,yixj->pb", _normalise(blocks), cells)


def _bin_votes(patches: Tensor) -> Tensor:
    """Return the gradient's votes for each pixel, [P, 80, 80, 36]: its magnitude, split over two bins.

    The gradient is [-1 0 1] within the patch alone, mirrored about its border pixels, where it is 0.
    """
    values = patches.float()
    dx, dy = torch.zeros_like(values), torch.zeros_like(values)
    dx[:, :, 1:-1] = values[:, :, 2:] - values[:, :, :-2]
    dy[:, 1:-1] = values[:, 2:] - values[:, :-2]
    magnitude = torch.hypot(dx, dy)
    position = torch.atan2(dy, dx).mul_(BINS / math.pi).sub_(0.5)
    lower = position.floor()
    fraction = position - lower
    first = lower.long().remainder_(BINS)
    second = torch.where(first == BINS - 1, 0, first + 1)
    votes = torch.zeros(*patches.shape, BINS, device=patches.device)
    votes.scatter_(3, first[..., None], (magnitude * (1 - fraction))[..., None])
    return votes.scatter_(3, second[..., None], (magnitude * fraction)[..., None])


def _normalise(blocks: Tensor) -> Tensor:
    """Apply L2-Hys to the blocks [P, y, i, x, j, 36] (block row, cell row, block column, cell column)."""

    def norm(values: Tensor) -> Tensor:
        return values.square().sum((2, 4, 5), keepdim=True).sqrt()

    clipped = (blocks / (norm(blocks) + 0.1 * _VOTES)).clamp_(max=_CLIP)
    return clipped / (norm(clipped) + 1e-3)


@lru_cache(maxsize=8)
def _tables(layout: Layout, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what does not depend on the image.

    First: [28, 80], the share of the pixel at x in cell j of block b (row 4 b + j), along one axis: the
    block's Gaussian times the linear vote. Second: [7, 4, 7, 4], one over the number of blocks that cover
    the cell where a block's cell is added, indexed by block row, cell row, block column, cell column.
    """
    inside = torch.arange(_BLOCK, dtype=torch.float64)
    gauss = torch.exp(-((inside - _BLOCK / 2) ** 2) / (2 * _SIGMA**2))
    where = (inside + 0.5) / CELL - 0.5
    linear = (1 - (where - torch.arange(BLOCK_CELLS)[:, None]).abs()).clamp(min=0)
    spread = torch.zeros(_BLOCKS, BLOCK_CELLS, PATCH, dtype=torch.float64)
    for index in range(_BLOCKS):
        spread[index, :, index * CELL : index * CELL + _BLOCK] = gauss * linear
    block, cell = torch.arange(_BLOCKS), torch.arange(BLOCK_CELLS)
    covering = torch.bincount((block[:, None] + cell).flatten()).double()
    by, cy = block[:, None, None, None], cell[None, :, None, None]
    bx, cx = block[None, None, :, None], cell
    row, column = (by + cx, bx + cy) if layout == "authors" else (by + cy, bx + cx)
    shares = 1 / (covering[row] * covering[column])
    return spread.reshape(-1, PATCH).float().to(device), shares.float().to(device)
