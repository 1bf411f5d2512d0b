"""Taking an image of any kind apart into RGB in [0, 1], and putting the restored one back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from restorekit.data.images import Picture, picture_of, pil_of
from restorekit.errors import ImageError
from restorekit.pixels import luma, pixels_of, planes_of, to_levels, unit

Rebuild = Callable[[Tensor], Any]
# Resampling overshoots and rounding errs by this much; more is taken for another range, such as [-1, 1] or
# [0, 255].
_SLACK = 1e-3


def check_image(image: Tensor, what: str = "image") -> None:
    """Raise `ImageError` unless `image` is a float [3, H, W] or [B, 3, H, W], finite and in [0, 1]."""
    _check_stored(image, what)
    if image.ndim not in (3, 4) or image.shape[-3] != 3 or 0 in image.shape:
        raise ImageError(
            f"{what}: shape {tuple(image.shape)} is not [3, H, W] or [B, 3, H, W] with at least one pixel;"
            " put the channels first"
        )
    if not image.is_floating_point():
        raise ImageError(f"{what}: type {image.dtype} is not a float; convert it to float32 in [0, 1]")
    low, high = (float(value) for value in torch.aminmax(image.detach()))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(f"{what}: it holds NaN or infinite values; replace them by numbers in [0, 1]")
    if low < -_SLACK or high > 1 + _SLACK:
        raise ImageError(
            f"{what}: float values from {low:.4g} to {high:.4g} are outside [0, 1]; rescale, or give uint8"
        )


def _check_stored(image: Tensor, what: str) -> None:
    """Raise `ImageError` for tensors without plain values: meta, sparse, quantized, complex."""
    kind = "meta" if image.is_meta else "quantized" if image.is_quantized else "nested" if image.is_nested else ""
    if image.layout != torch.strided:
        kind = str(image.layout).removeprefix("torch.").replace("_", " ")
    if image.is_complex():
        kind = "complex"
    if kind:
        raise ImageError(f"{what}: a {kind} tensor has no plain values of pixels; give a dense uint8 or float tensor")


def take_apart(image: object) -> tuple[Tensor, Rebuild, bool]:
    """Return the image as float [B, 3, H, W] in [0, 1], the way back, and whether it has more than 8 bits.

    Raises `ImageError` for another kind, shape, type or range.
    """
    if isinstance(image, Image.Image):
        if 0 in image.size:
            raise ImageError(f"Pillow image: size {image.size} is not that of an image with at least one pixel")
        picture = picture_of(image)
        return picture.tensor(), lambda restored: _pil(picture, restored, image), picture.bits > 8
    if isinstance(image, np.ndarray):
        return _array(image)
    if isinstance(image, Tensor):
        return _tensor(image)
    raise ImageError(
        f"an image of type {type(image).__name__} is not supported; give a path, a Pillow image, an array"
        " [H, W, 3] or a tensor [3, H, W]"
    )


def _pil(picture: Picture, restored: Tensor, source: Image.Image) -> Image.Image:
    result = pil_of(picture.with_image(restored))
    # A converted image (CMYK) has left its profile behind.
    result.info = source.info | result.info
    if picture.icc is None:
        result.info.pop("icc_profile", None)
    result.info.pop("transparency", None)
    return result


def _array(image: NDArray[Any]) -> tuple[Tensor, Rebuild, bool]:
    if isinstance(image, np.matrix):  # it has two dimensions, whatever is done to it
        image = np.asarray(image)
    if image.ndim == 2:
        planes, rebuild, deep = _planes(image[..., None])
        return planes, lambda restored: rebuild(restored)[..., 0], deep
    if image.ndim == 3 and image.shape[2] in (1, 2, 3, 4) and image.size:
        return _planes(image)
    raise ImageError(
        f"array: shape {image.shape} is not [H, W] or [H, W, 1 | 2 | 3 | 4] with at least one pixel; put"
        " the channels last"
    )


def _planes(image: NDArray[Any]) -> tuple[Tensor, Rebuild, bool]:
    """Take [H, W, C] apart: uint8 and uint16 by their full range, floats as they are; of either byte order."""
    count, kind = image.shape[2], image.dtype.newbyteorder("=")
    colours = 3 if count >= 3 else 1
    is_whole = kind in (np.uint8, np.uint16)
    if not is_whole and kind not in (np.float16, np.float32, np.float64):
        raise ImageError(f"array: type {image.dtype} is not supported; use uint8, uint16, or floats in [0, 1]")
    seen = image[..., :colours]
    planes = planes_of(seen) if is_whole else np.array(seen.transpose(2, 0, 1), np.float32, order="C")
    tensor = torch.from_numpy(planes)[None].expand(1, 3, -1, -1)
    check_image(tensor, "array")

    def rebuild(restored: Tensor) -> NDArray[Any]:
        values = _colours(restored, colours)[0].cpu().numpy()
        result = image.copy()
        result[..., :colours] = pixels_of(values, kind) if is_whole else values.transpose(1, 2, 0)
        return result

    return tensor, rebuild, image.dtype != np.uint8


def _tensor(image: Tensor) -> tuple[Tensor, Rebuild, bool]:
    """Take [C, H, W] or [B, C, H, W] apart: uint8 by its full range, floats as they are."""
    _check_stored(image, "tensor")
    if image.ndim not in (3, 4) or image.shape[-3] not in (1, 2, 3, 4) or 0 in image.shape:
        raise ImageError(
            f"tensor: shape {tuple(image.shape)} is not [C, H, W] or [B, C, H, W] with 1 to 4 channels and at"
            " least one pixel"
        )
    if not (image.is_floating_point() or image.dtype == torch.uint8):
        raise ImageError(f"tensor: type {image.dtype} is not supported; use uint8, or floats in [0, 1]")
    colours = 3 if image.shape[-3] >= 3 else 1
    is_whole = image.dtype == torch.uint8
    batch = image if image.ndim == 4 else image[None]
    seen = batch[:, :colours]
    planes = (unit(seen) if is_whole else seen.float()).expand(-1, 3, -1, -1)
    check_image(planes, "tensor")

    def rebuild(restored: Tensor) -> Tensor:
        values = _colours(restored, colours)
        result = batch.detach().clone()
        result[:, :colours] = to_levels(values) if is_whole else values
        return result.reshape(image.shape)

    return planes, rebuild, image.dtype != torch.uint8


def _colours(restored: Tensor, count: int) -> Tensor:
    """Return [B, count, H, W] of restored RGB: as it is, or its luma."""
    if count == 3:
        return restored
    return luma(restored[:, 0:1], restored[:, 1:2], restored[:, 2:3])
