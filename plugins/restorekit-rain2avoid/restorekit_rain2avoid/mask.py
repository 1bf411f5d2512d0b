"""From a rain angle to a rain mask: thin bright streaks that run along the angle."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from restorekit_rain2avoid.hog import grey_8bit
from restorekit_rain2avoid.rotation import WHITE, Region, rotate

THRESHOLD = 10
"""Prior values above this, of 255, are rain; only the value 0 is rain-free for the sampler."""

_LOCAL = 5
_RUN = 10


def rain_prior(image_CHW: Tensor, degrees: int, align: bool = False) -> Tensor:
    """Return the graded prior [H, W] uint8 of the 8-bit RGB image [3, H, W] for rain at this angle.

    The image is turned until rain at `degrees` (0 is vertical) stands upright; pixels above their
    local mean that form vertical runs of at least ten are kept, and turned back, which grades them. The authors
    cut the result out of a canvas of whole pixels, which moves it by up to one, depending on the image's size and
    the angle; with `align` it comes to lie where the streaks are.
    """
    upright = rotate(image_CHW, degrees) if degrees else image_CHW
    streaks = keep_vertical_runs(brighter_than_surroundings(grey_8bit(upright[None])[0]))
    prior = streaks.to(torch.uint8) * WHITE
    if not degrees:
        return prior
    height, width = image_CHW.shape[1:]
    if align:
        whole = Region(0, 0, height, width)
        return rotate(prior[None], -degrees, whole, canvas=(height, width))[0].to(torch.uint8)
    sine, cosine = abs(math.sin(math.radians(degrees))), math.cos(math.radians(degrees))
    # The products are taken from left to right: at 15 degrees the order decides what floor gives.
    window = Region(math.floor(width * sine * cosine), math.floor(height * cosine * sine), height, width)
    return rotate(prior[None], -degrees, window)[0].to(torch.uint8)


def brighter_than_surroundings(grey_HW: Tensor) -> Tensor:
    """Return where grey values 0..255 exceed their rounded 5x5 mean, edges replicated: bool [H, W].

    A value g exceeds round(s / 25) exactly when 25 g > s + 12, which needs no division.
    """
    margin = _LOCAL // 2
    frame = (margin, margin, margin, margin)
    padded = functional.pad(grey_HW[None, None].float(), frame, mode="replicate")[0, 0].short()
    height, width = grey_HW.shape
    sums = sum((padded[:, i : i + width] for i in range(1, _LOCAL)), padded[:, :width])
    sums = sum((sums[i : i + height] for i in range(1, _LOCAL)), sums[:height])
    return grey_HW.short() * (_LOCAL * _LOCAL) > sums + _LOCAL * _LOCAL // 2


def keep_vertical_runs(mask_HW: Tensor) -> Tensor:
    """Keep vertical runs of at least ten; both windows are y-5 .. y+4, so runs end one pixel lower."""
    eroded = ~_any_in_window(~mask_HW)
    return _any_in_window(eroded)


def _any_in_window(mask_HW: Tensor) -> Tensor:
    """Return whether any pixel at y-5 .. y+4 is set; pixels beyond the image are not."""
    before = _RUN // 2
    window = functional.pad(mask_HW, (0, 0, before, _RUN - 1 - before))
    covered = 1
    while covered < _RUN:
        step = min(covered, _RUN - covered)
        window = window[:-step] | window[step:]
        covered += step
    return window
