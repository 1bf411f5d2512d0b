"""PSNR and SSIM of single images under a protocol, and several protocols at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.errors import ImageError
from restorekit.metrics.protocols import PROTOCOLS, Protocol, get_protocol, levels, planes
from restorekit.metrics.structural import ssim_map, window_weights

PEAK = 255.0


def _check_shapes(restored: Tensor, clean: Tensor) -> None:
    if restored.shape != clean.shape or restored.ndim != 4 or restored.shape[1] != 3:
        raise ImageError(
            f"cannot compare a restored image of shape {tuple(restored.shape)} with a clean one of shape"
            f" {tuple(clean.shape)}; both must have the same shape [B, 3, H, W]"
        )


def _prepare(restored: Tensor, clean: Tensor, protocol: Protocol) -> tuple[Tensor, Tensor]:
    first = planes(levels(restored, truncate=protocol.truncate), protocol)
    second = planes(levels(clean), protocol)
    if first.numel() == 0:
        raise ImageError(
            f"protocol {protocol.id!r} crops and leaves nothing of an image of"
            f" {restored.shape[-2]}x{restored.shape[-1]} pixels; use another protocol or larger images"
        )
    return first, second


def _psnr(first: Tensor, second: Tensor) -> Tensor:
    error = (first - second).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(PEAK**2 / error)


def _ssim(first: Tensor, second: Tensor, protocol: Protocol) -> Tensor:
    weights = window_weights(protocol.window, protocol.window_size)
    return ssim_map(first, second, weights, PEAK, protocol.sample_covariance).mean(dim=(1, 2, 3))


class PSNR:
    """Peak signal-to-noise ratio, 10 log10(255^2 / MSE), in dB, per image.

    ``PSNR("rgb")(restored, clean)``: two images [B, 3, H, W] in [0, 1] (or uint8) -> [B] float64. Identical
    images score infinity, which is the true value; whoever averages has to say how many there were.

    Raises `UnknownNameError` for an unknown protocol, `ImageError` when the shapes differ.
    """

    higher_is_better: ClassVar[bool] = True
    unit: ClassVar[str] = "dB"

    def __init__(self, protocol: str = "rgb") -> None:
        self.protocol = get_protocol(protocol)

    @torch.no_grad()
    def __call__(self, restored: Tensor, clean: Tensor) -> Tensor:
        """Return the score of each image, [B] float64. Raises `ImageError` when the shapes differ."""
        _check_shapes(restored, clean)
        return _psnr(*_prepare(restored, clean, self.protocol))


class SSIM:
    """Structural similarity, at most 1, per image, mean over channels and windows inside the image.

    Gaussian 11x11 windows, sigma 1.5, K1 0.01, K2 0.03, population covariance; under ``qian2018`` uniform 7x7
    windows with sample covariance. ``SSIM("rgb")(restored, clean)``: as `PSNR`. Images smaller than the
    window are refused with an `ImageError`: a smaller window would be another measure.
    """

    higher_is_better: ClassVar[bool] = True
    unit: ClassVar[str] = ""

    def __init__(self, protocol: str = "rgb") -> None:
        self.protocol = get_protocol(protocol)

    @torch.no_grad()
    def __call__(self, restored: Tensor, clean: Tensor) -> Tensor:
        """Return the score of each image, [B] float64. Raises `ImageError` when the shapes differ."""
        _check_shapes(restored, clean)
        return _ssim(*_prepare(restored, clean, self.protocol), self.protocol)


def _tensor(image_HWC: NDArray[np.generic]) -> Tensor:
    if image_HWC.ndim != 3 or image_HWC.shape[2] != 3:
        raise ImageError(f"expected an RGB image of shape [H, W, 3], and got {image_HWC.shape}")
    if image_HWC.dtype != np.uint8 and not np.issubdtype(image_HWC.dtype, np.floating):
        raise ImageError(
            f"expected uint8, or floating point in [0, 1], and got {image_HWC.dtype}; convert the image first"
        )
    return torch.from_numpy(np.require(image_HWC, requirements=["C", "W"])).permute(2, 0, 1)[None]


@torch.no_grad()
def score_image(
    restored_HWC: NDArray[np.generic], clean_HWC: NDArray[np.generic], protocols: Iterable[str] = tuple(PROTOCOLS)
) -> dict[str, float]:
    """Return PSNR (dB) and SSIM of one RGB image: ``{"psnr-rgb": ..., "ssim-rgb": ..., ...}``.

    `restored_HWC`, `clean_HWC`: uint8, or floating point in [0, 1]. Raises `ImageError` when the sizes
    differ or an image is smaller than the SSIM window.
    """
    restored, clean = _tensor(restored_HWC), _tensor(clean_HWC)
    _check_shapes(restored, clean)
    scores: dict[str, float] = {}
    for name in protocols:
        protocol = get_protocol(name)
        first, second = (plane.contiguous() for plane in _prepare(restored, clean, protocol))
        scores[f"psnr-{protocol.id}"] = _psnr(first, second).item()
        scores[f"ssim-{protocol.id}"] = _ssim(first, second, protocol).item()
    return scores
