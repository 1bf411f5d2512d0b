"""A pane of glass out of focus: what lies on it is spread by the lens, in linear light.

A lens that is focused on the scene shows each point of the near pane as an image of its aperture: a disc, or a polygon
with as many corners as the iris has blades, sometimes brighter towards its rim (Hecht, Optics, 5.3; the circle of
confusion). So a drop that covers the share a of the light and sends out the light e itself gives
(1 - K * a) C + K * e, with the aperture K, `*` for convolution, and the scene C, which stays sharp.
"""

from __future__ import annotations

import math

import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from torch import Tensor
from torch.nn import functional

ROUND, FEWEST, MOST = 0.4, 5, 8  # share of round apertures; blades of the others


def margin(widest: float) -> int:
    """Return the pixels around an image from which an aperture of `widest` pixels brings light into it."""
    return math.ceil(widest / 2) + 1 if widest > 0 else 0


def kernels(diameter: Tensor, shape: Tensor, size: int) -> Tensor:
    """Return apertures [B, size, size] that sum to 1, `size` odd.

    `diameter` [B]: pixels. `shape` [B, 3] in [0, 1): draws of how many blades, how they are turned, and how much
    brighter or darker than the middle the rim is.
    """
    places = torch.arange(size, dtype=diameter.dtype, device=diameter.device) - size // 2
    y, x = torch.meshgrid(places, places, indexing="ij")
    which, turned, ring = shape[:, :, None, None].unbind(1)
    round_ones = which < ROUND
    blades = (FEWEST + (which - ROUND) / (1 - ROUND) * (MOST + 1 - FEWEST)).floor()
    slice_ = 2 * math.pi / blades
    angle = torch.remainder(torch.atan2(y, x) + turned * slice_, slice_) - slice_ / 2
    edge = torch.where(round_ones, 1.0, torch.cos(slice_ / 2) / torch.cos(angle))
    reach = (diameter / 2).clamp(min=0.5)[:, None, None] * edge
    distance = torch.hypot(x, y)
    kernel = (reach - distance + 0.5).clamp(0, 1) * (1 + (ring - 0.25) * (distance / reach).square())
    return kernel / kernel.sum((1, 2), keepdim=True)


def spread(planes: Tensor, kernel: Tensor) -> Tensor:
    """Convolve planes [B, C, H, W] with one kernel [B, k, k] each; what leaves at one border enters at the other."""
    height, width = planes.shape[-2:]
    half = kernel.shape[-1] // 2
    centred = functional.pad(kernel, (0, width - kernel.shape[-1], 0, height - kernel.shape[-2]))
    centred = torch.roll(centred, (-half, -half), (-2, -1))
    spectrum = torch.fft.rfft2(planes) * torch.fft.rfft2(centred)[:, None]
    blurred: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
    return blurred


def out_of_focus(scene: Tensor, cover: Tensor, light: Tensor, kernel: Tensor) -> Tensor:
    """Return the `scene` [B, 3, H, W] behind drops of the opacity `cover` [B, 1, H, W] that show `light`, spread.

    `scene` is in [0, 1] and encoded as sRGB; `light` [B, 3, H, W] is linear, and above 1 where a drop shows what
    overexposes. Returns an sRGB image like the scene.
    """
    both = spread(torch.cat((cover, cover * light), 1), kernel.to(scene)).clamp(min=0)
    linear = rgb_to_linear_rgb(scene) * (1 - both[:, :1].clamp(max=1)) + both[:, 1:]
    return linear_rgb_to_rgb(linear.clamp(0, 1))
