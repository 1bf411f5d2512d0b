"""Whole numbers and numbers in [0, 1]: one way there, one way back, and one luma.

Pixels are whole numbers with the channels last, as files hold them; planes and images are numbers in [0, 1] with the
channels first, as networks take them. torch is imported where a tensor is asked for: pictures are read without it, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "Pixels",
    "Planes",
    "Whole",
    "luma",
    "pixels_of",
    "planes_of",
    "to_image",
    "to_levels",
    "to_pixels",
    "unit",
    "whole",
    "whole_levels",
]

Pixels = NDArray[np.uint8]
"""8-bit pixels, [H, W, 3] where nothing else is said."""

Whole = NDArray[np.unsignedinteger]
"""Pixels of 8 or 16 bits: their full range stands for [0, 1]."""

Planes = NDArray[np.float32]
"""Numbers in [0, 1], [3, H, W] where nothing else is said."""

F = TypeVar("F", np.float32, np.float64)
T = TypeVar("T", "Tensor", NDArray[np.float32], NDArray[np.float64])


def planes_of(pixels: Whole, kind: type[F] = np.float32) -> NDArray[F]:  # type: ignore[assignment]
    """Return pixels [..., H, W, C] as planes [..., C, H, W] in [0, 1], float32 or float64."""
    planes: NDArray[F] = np.ascontiguousarray(np.moveaxis(pixels, -1, -3), dtype=kind)
    planes /= kind(np.iinfo(pixels.dtype).max)
    return planes


def whole(values: NDArray[np.floating], kind: DTypeLike = np.uint8) -> Whole:
    """Return numbers in [0, 1] as the nearest levels of a type, halves up; what lies outside is clipped.

    Computed in float64: a product in float32 may land on a half that it is not.
    """
    top = np.iinfo(kind).max
    scaled = values.astype(np.float64)
    scaled *= top
    scaled += 0.5
    np.clip(scaled, 0, top, out=scaled)
    levels: Whole = scaled.astype(kind)
    return levels


def pixels_of(planes: NDArray[np.floating], kind: DTypeLike = np.uint8) -> Whole:
    """Return planes [..., C, H, W] as pixels [..., H, W, C] of a type: see `whole`."""
    rounded = [whole(planes[..., channel, :, :], kind) for channel in range(planes.shape[-3])]  # one plane in float64
    return np.stack(rounded, axis=-1)


def to_image(pixels: Whole, device: torch.device | str | None = None, *, double: bool = False) -> Tensor:
    """Return pixels [(K,) H, W, C] as images [K or 1, C, H, W], float32, or float64 with `double`."""
    import torch

    planes = torch.from_numpy(planes_of(pixels, np.float64 if double else np.float32))
    return (planes[None] if planes.ndim == 3 else planes).to(device)


def to_pixels(image: Tensor) -> Pixels:
    """Return an image [..., C, H, W] as 8-bit pixels [..., H, W, C]: see `whole`."""
    import torch

    values = image.detach().cpu()
    return cast(Pixels, pixels_of((values if values.dtype == torch.float64 else values.float()).numpy()))


def unit(levels: Tensor) -> Tensor:
    """Return 8-bit levels of any shape as float32 in [0, 1], bit for bit the same on every device."""
    values = levels.float()
    return values / values.new_full((), 255)  # a plain 255 is a product with its reciprocal on CUDA


def whole_levels(image: Tensor) -> Tensor:
    """Return an image of any shape as the nearest whole numbers 0..255 in float64: the rule of `whole` on a tensor."""
    image = image.cpu() if image.device.type == "mps" else image  # which has no float64
    return (image.double().clamp(0, 1) * 255 + 0.5).floor()


def to_levels(image: Tensor) -> Tensor:
    """Return an image of any shape as uint8 levels on its device: see `whole_levels`."""
    import torch

    return whole_levels(image.detach()).to(image.device, torch.uint8)


def luma(red: T, green: T, blue: T) -> T:
    """Return the full-range luma of ITU-R BT.601, in the unit of its three channels."""
    grey: T = 0.299 * red + 0.587 * green + 0.114 * blue
    return grey
