"""Restoring a large picture from top to bottom: only one row of tiles is in floating point at a time.

Torch is not imported: whatever restores planes of numpy can be used.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from restorekit.data.images.picture import Picture, Pixels, coloured
from restorekit.errors import RestorekitError
from restorekit.pixels import Planes, planes_of
from restorekit.restoring.spans import Span, Tiling

LARGE = 16_000_000
"""Pixels from which on a picture is restored by strips, and is alone in memory."""

RunPlanes = Callable[[Planes], Planes]
"""[1, 3, H, W] float32 in [0, 1], of a size that the network takes -> the same shape."""


def restore_strips(fn: RunPlanes, picture: Picture, tiling: Tiling) -> Picture:
    """Restore a picture tile by tile; depth, alpha and metadata stay.

    Besides the picture and its result, which stay whole numbers, one row of tiles is in memory: 12 bytes for each of
    its pixels, and what `fn` needs for one tile. The result is that of padding as `pad_to_rule` does, running
    `run_tiled`, and rounding. Raises `RestorekitError` when `fn` gives values that are not finite.
    """
    result = np.empty_like(picture.pixels)
    for start, planes in _strips(fn, picture.pixels, tiling):
        if not np.isfinite(planes).all():
            raise RestorekitError(
                "the network gave values that are not finite; try --precision fp32, and if that does not help, other"
                " weights"
            )
        result[start : start + planes.shape[1]] = coloured(planes, result.dtype, picture.grey)
    return replace(picture, pixels=result)


def tiles_of(pixels: Pixels, tiling: Tiling) -> Iterator[tuple[Planes, NDArray[np.float32]]]:
    """Yield each tile of a picture with the weight [H, W] of its pixels, in the order in which they are restored."""
    rows, columns = (tiling.spans(tiling.rule.padded(side)) for side in pixels.shape[:2])
    for row, column in itertools.product(rows, columns):
        yield _tile(pixels, row, column), row.weight[:, None] * column.weight[None]


def _strips(fn: RunPlanes, pixels: Pixels, tiling: Tiling) -> Iterator[tuple[int, Planes]]:
    """Yield (first row, [3, rows, W]) from top to bottom, each row once."""
    height, width = pixels.shape[:2]
    rows, columns = (tiling.spans(tiling.rule.padded(side)) for side in (height, width))
    unfinished = np.zeros((3, 0, columns[-1].stop), np.float32)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        strip = np.zeros((3, row.stop - row.start, columns[-1].stop), np.float32)
        strip[:, : unfinished.shape[1]] = unfinished
        for column in columns:
            _add_tile(fn, pixels, row, column, strip)
        finished = (following.start if following else height) - row.start
        yield row.start, strip[:, : min(finished, height - row.start), :width]
        unfinished = strip[:, finished:].copy()


def _add_tile(fn: RunPlanes, pixels: Pixels, row: Span, column: Span, strip: Planes) -> None:
    """Restore one tile and add it, weighted, to its strip."""
    restored = fn(_tile(pixels, row, column))[0]
    strip[:, :, column.start : column.stop] += restored * (row.weight[:, None] * column.weight[None])


def _tile(pixels: Pixels, row: Span, column: Span) -> Planes:
    return planes_of(pixels[_mirrored(row, pixels.shape[0])[:, None], _mirrored(column, pixels.shape[1])])[None]


def _mirrored(span: Span, size: int) -> NDArray[np.int64]:
    """Return which of `size` pixels stand at a span's places: beyond the end mirrored, then the last one repeated."""
    places = np.arange(span.start, span.stop)
    return np.where(places < size, places, np.maximum(2 * (size - 1) - places, 0))
