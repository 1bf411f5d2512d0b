"""Degrading one 8-bit picture, the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.data.synthesis import synthesize

Pixels = NDArray[np.uint8]


def render(
    clean: Pixels, key: int, task: str, preset: str | None = None, settings: Mapping[str, Any] | None = None
) -> tuple[Pixels, Pixels | None]:
    """Degrade a clean image, [H, W, 3] uint8, by the synthesizer called `task`.

    Returns the degraded image, like `clean`, and the mask, [H, W] uint8 in {0, 1}, or None without one. Computed in
    float64 on the CPU, so that rounding to 8 bit gives the same images everywhere. `key` decides all that is random.
    Raises `UnknownNameError` for an unknown synthesizer or preset.
    """
    scene = torch.from_numpy(clean.copy()).permute(2, 0, 1)[None].to(torch.float64) / 255
    degraded, mask = synthesize(scene, torch.tensor([key]), task, preset, settings)
    return _eight_bit(degraded * 255), None if mask is None else _eight_bit(mask)[..., 0]


def _eight_bit(image: Tensor) -> Pixels:
    pixels: Pixels = image[0].permute(1, 2, 0).round().to(torch.uint8).contiguous().numpy()
    return pixels
