"""Structural similarity (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004) on windows inside the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from restorekit.errors import ImageError

K1, K2, SIGMA = 0.01, 0.03, 1.5


def window_weights(kind: Literal["gaussian", "uniform"], size: int) -> tuple[float, ...]:
    """Return `size` (odd) weights of a 1-D window that add up to one; Gaussian: sigma 1.5 pixels."""
    if kind == "uniform":
        return (1 / size,) * size
    raw = [math.exp(-0.5 * ((i - size // 2) / SIGMA) ** 2) for i in range(size)]
    return tuple(value / math.fsum(raw) for value in raw)


def _filter_along(image: Tensor, weights: Sequence[float], dim: int) -> Tensor:
    """Weighted sum of shifted views: faster than a convolution on CPUs, and works in float64."""
    last = len(weights) - 1
    count = image.shape[dim] - last
    total = image.narrow(dim, last // 2, count) * weights[last // 2]
    for i in range(last // 2):
        pair = image.narrow(dim, i, count) + image.narrow(dim, last - i, count)
        total = total.add_(pair, alpha=weights[i])
    return total


def filter_inside(image_BCHW: Tensor, weights: Sequence[float]) -> Tensor:
    """Filter rows and columns with a symmetric odd window, without padding."""
    return _filter_along(_filter_along(image_BCHW, weights, 2), weights, 3)


def ssim_map(
    first_BCHW: Tensor,
    second_BCHW: Tensor,
    weights: Sequence[float],
    data_range: float,
    sample_covariance: bool = False,
) -> Tensor:
    """Return SSIM of every window that lies inside the image, [B, C, H - n + 1, W - n + 1].

    `weights`: the n weights of a symmetric separable window. `data_range`: difference of the largest and the
    smallest possible value. `sample_covariance` scales (co)variances by N / (N - 1), N = n * n; meant
    for uniform windows. Differentiable. Raises `ImageError` when the image is smaller than the window.
    """
    height, width = first_BCHW.shape[-2:]
    size = len(weights)
    if min(height, width) < size:
        raise ImageError(
            f"SSIM needs images of at least {size}x{size} pixels, and got {height}x{width} (height x width);"
            " leave such images out or measure PSNR only"
        )
    mean1, mean2 = filter_inside(first_BCHW, weights), filter_inside(second_BCHW, weights)
    power = filter_inside(first_BCHW.square() + second_BCHW.square(), weights)
    cross = filter_inside(first_BCHW * second_BCHW, weights)
    scale = size**2 / (size**2 - 1) if sample_covariance else 1.0
    means, product = mean1.square() + mean2.square(), mean1 * mean2
    variances, covariance = scale * (power - means), scale * (cross - product)
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    return (2 * product + c1) * (2 * covariance + c2) / ((means + c1) * (variances + c2))
