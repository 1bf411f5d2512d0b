"""Photographs of a shallow depth of field: a subject before a soft background, as lenses of wide aperture make them."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from torch import Tensor

from restorekit.data.synthesis.aperture import kernels, margin, spread

_WIDEST = 40.0  # pixels, diameter of the largest circle of confusion
_NARROWEST = 6.0
_ALL = 0.4  # share of crops that hold nothing but background
_CELLS = 3  # along each side of a crop, of the noise that outlines a subject


def shallow(photo: Tensor, draw: np.random.Generator) -> Tensor:
    """Put the background of a photograph [3, H, W] in [0, 1] out of focus, in linear light (Hecht, Optics, 5.3).

    H and W are at least 8 pixels. What stays sharp is a part with a smooth outline, or nothing.
    """
    widest = max(_NARROWEST, min(_WIDEST, *photo.shape[-2:]))
    diameter = math.exp(draw.uniform(math.log(_NARROWEST), math.log(widest)))
    border = margin(diameter)
    kernel = kernels(
        torch.tensor([diameter]), torch.as_tensor(draw.random((1, 3)), dtype=torch.float32), 2 * border + 1
    )
    linear = F.pad(rgb_to_linear_rgb(photo[None]), (border,) * 4, mode="reflect")
    far = linear_rgb_to_rgb(spread(linear, kernel.to(photo))[..., border:-border, border:-border].clamp(0, 1))[0]
    if draw.random() < _ALL:
        return far
    noise = torch.as_tensor(draw.standard_normal((1, 1, _CELLS, _CELLS))).to(photo)
    outline = F.interpolate(noise, photo.shape[-2:], mode="bicubic")[0] * draw.uniform(6, 40)
    return torch.lerp(photo, far, torch.sigmoid(outline))
