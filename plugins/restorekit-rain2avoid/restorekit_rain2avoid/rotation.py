"""Rotation of 8-bit images on an enlarged canvas, in the fixed-point arithmetic of image libraries."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

WHITE = 255

_POSITION_BITS = 10
_FRACTION_BITS = 5
_FRACTION = (1 << _FRACTION_BITS) - 1
_WEIGHT_BITS = 2 * _FRACTION_BITS
_FIELD_BITS = 20
_FRAME = 2
_ROWS = 64  # at once, so that the intermediate results stay in the processor's cache


@dataclass(frozen=True)
class Region:
    """A rectangle of pixels: its first row and column, height and width."""

    top: int
    left: int
    height: int
    width: int


def canvas_size(height: int, width: int, degrees: float) -> tuple[int, int]:
    """Return (height, width) in whole pixels of the canvas that holds the rotated image."""
    cosine, sine = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    return int(height * cosine + width * sine), int(height * sine + width * cosine)


def rotate(
    image_CHW: Tensor, degrees: float, region: Region | None = None, canvas: tuple[int, int] | None = None
) -> Tensor:
    """Return the image [C, h, w] rotated about its centre, which becomes the centre of the canvas.

    `image_CHW`: integer values 0..255, C at most 3. `degrees`: counter-clockwise. Bilinear, with 1/32
    pixel fractions; beyond the image is white. `region`: the part of the canvas to compute, all of it by
    default. `canvas`: its height and width, those of `canvas_size` by default. The result is int64.
    """
    height, width = image_CHW.shape[1:]
    full = canvas or canvas_size(height, width, degrees)
    part = region or Region(0, 0, *full)
    columns = width + 2 * _FRAME
    white = _pack(torch.full((len(image_CHW), 1, 1), WHITE, device=image_CHW.device))
    packed = white.repeat(height + 2 * _FRAME, columns)
    packed[_FRAME:-_FRAME, _FRAME:-_FRAME] = _pack(image_CHW)
    bands = []
    for top in range(part.top, part.top + part.height, _ROWS):
        rows = min(_ROWS, part.top + part.height - top)
        band = Region(top, part.left, rows, part.width)
        x, y = _source_positions((height, width), full, degrees, band, image_CHW.device)
        bands.append(_unpack(_interpolate(packed, x, y), len(image_CHW)))
    return torch.cat(bands, dim=1)


def _source_positions(
    size: tuple[int, int], full: tuple[int, int], degrees: float, part: Region, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return x and y [h, w] int64, in 1/32 pixels of the source, for each pixel of the part."""
    (height, width), (canvas_height, canvas_width) = size, full
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    offset_x = width / 2 - cosine * canvas_width / 2 + sine * canvas_height / 2
    offset_y = height / 2 - sine * canvas_width / 2 - cosine * canvas_height / 2
    columns = torch.arange(part.left, part.left + part.width, dtype=torch.float64)  # MPS has no float64
    rows = torch.arange(part.top, part.top + part.height, dtype=torch.float64)[:, None]

    def fixed(values: Tensor) -> Tensor:
        return (values * (1 << _POSITION_BITS)).round().long()

    half = 1 << (_POSITION_BITS - _FRACTION_BITS - 1)
    shift = _POSITION_BITS - _FRACTION_BITS
    x = (fixed(cosine * columns) + (fixed(-sine * rows + offset_x) + half)) >> shift
    y = (fixed(sine * columns) + (fixed(cosine * rows + offset_y) + half)) >> shift
    return x.to(device), y.to(device)


def _pack(image_CHW: Tensor) -> Tensor:
    """Put the channels into 20-bit fields of one int64, so that one sum interpolates all of them."""
    packed = image_CHW[0].long()
    for channel in range(1, len(image_CHW)):
        packed = packed | (image_CHW[channel].long() << (channel * _FIELD_BITS))
    return packed


def _unpack(packed: Tensor, channels: int) -> Tensor:
    """Return [C, h, w]: each field's weighted sum, rounded and divided by the weights' sum."""
    fields = [
        ((packed >> (channel * _FIELD_BITS)) & ((1 << _FIELD_BITS) - 1)) + (1 << (_WEIGHT_BITS - 1))
        for channel in range(channels)
    ]
    return torch.stack(fields) >> _WEIGHT_BITS


def _interpolate(packed: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the weighted sums of four neighbours in `packed`, an image in a white frame of two pixels.

    Positions are moved to the frame where they are beyond it: both neighbours are white there.
    """
    rows, columns = packed.shape
    left = (x >> _FRACTION_BITS).add_(_FRAME).clamp_(0, columns - 2)
    upper = (y >> _FRACTION_BITS).add_(_FRAME).clamp_(0, rows - 2)
    place = upper.mul_(columns).add_(left).flatten()
    flat = packed.flatten()

    def neighbours(step: int) -> Tensor:
        return flat[step:].index_select(0, place).view_as(x)

    def between(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
        # Differences borrow from the next field, but the sum is what each field alone would give.
        return (first << _FRACTION_BITS).addcmul_(second.sub_(first), share)

    x_share = x & _FRACTION
    above = between(neighbours(0), neighbours(1), x_share)
    below = between(neighbours(columns), neighbours(columns + 1), x_share)
    return between(above, below, y & _FRACTION)
