"""The direction of rain in a whole image: thin bright lines that are equally bright in all colours."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

STEEPEST = 45.0
"""Rain is looked for up to so many degrees from the vertical."""

_WIDTH = 7
_CLIP = 30 / 255
_BAND = (0.08, 0.45)
_DARK_SHARE = 0.7
_BINS = 180
_APART = 10.0
_SMOOTHING = (1.0, 2.0, 3.0, 2.0, 1.0)


def thin_light(image_CHW: Tensor) -> Tensor:
    """Return how much brighter than both sides an image [C, H, W] is, the least over its channels: [H, W].

    The white top-hat with a flat horizontal element of 7 pixels: what is left of lines narrower than that.
    The channels' minimum is what light of no colour can have added. Clipped, so that a few hard edges do not
    outweigh many faint streaks.
    """
    side = _WIDTH // 2

    def highest(values: Tensor) -> Tensor:
        return functional.max_pool2d(values[None], (1, _WIDTH), 1, (0, side))[0]

    opened = highest(-highest(-image_CHW))
    return (image_CHW - opened).amin(0).clamp(max=_CLIP)


def direction_spectrum(plane_HW: Tensor) -> Tensor:
    """Return the mean power of the fine structures in each direction: [180], entry i from i - 90 degrees on.

    Lines at a degrees from the vertical, leaning to the left downwards where a > 0, are at a.
    """
    height, width = plane_HW.shape
    window = _hann(height, plane_HW)[:, None] * _hann(width, plane_HW)
    power = torch.fft.fft2((plane_HW - plane_HW.mean()) * window).abs().square()
    down = torch.fft.fftfreq(height, device=plane_HW.device)[:, None].expand(height, width)
    right = torch.fft.fftfreq(width, device=plane_HW.device).expand(height, width)
    radius = torch.hypot(down, right)
    used = (radius > _BAND[0]) & (radius < _BAND[1])
    angle = torch.rad2deg(torch.atan2(down[used], right[used]))
    bins = torch.remainder(angle + 90, 180).long().clamp(max=_BINS - 1).cpu()
    sums = torch.bincount(bins, weights=(power[used] * radius[used]).cpu().double(), minlength=_BINS)
    mean = sums / torch.bincount(bins, minlength=_BINS).clamp(min=1)
    kernel = torch.tensor(_SMOOTHING, dtype=mean.dtype, device=mean.device)
    around = len(_SMOOTHING) // 2
    circle = torch.cat([mean[-around:], mean, mean[:around]])
    return functional.conv1d(circle[None, None], kernel[None, None] / kernel.sum())[0, 0]


def rain_directions(image_CHW: Tensor, count: int = 1) -> list[float]:
    """Return the likeliest directions of rain in an image [3, H, W] in [0, 1], the likeliest first, in degrees.

    0 is vertical, positive rain leans as ``/``, as in `LDGP`. Rain only adds light: the power of thin dark lines, which
    only the scene has, is taken off that of thin bright ones. There is at least one direction, and none is within 10
    degrees of a likelier one.
    """
    bright = direction_spectrum(thin_light(image_CHW))
    dark = direction_spectrum(thin_light(1 - image_CHW))
    score = bright - _DARK_SHARE * dark
    centres = torch.arange(_BINS, device=score.device) - 89.5
    score[centres.abs() > STEEPEST] = -math.inf
    found: list[float] = []
    while len(found) < count and (not found or score.max() > 0):
        found.append(float(centres[score.argmax()]))
        score[(centres - found[-1]).abs() < _APART] = -math.inf
    return found


def _hann(size: int, like: Tensor) -> Tensor:
    return torch.hann_window(size, periodic=False, device=like.device) if size > 2 else like.new_ones(size)
