"""The built-in test sets: fixed renderings of rain and raindrops over the built-in photographs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from restorekit.data.builtin import photos
from restorekit.data.synthesis import presets, synthesize

BUILTIN_VERSION = "1"
"""Raised whenever a pixel of a built-in set changes: scores of different versions must not be compared."""

RENDERINGS = {"raindrop": ("drops", "drops"), "rain-streak": ("light", "medium")}
"""The presets by which each photograph is rendered, per task."""

_FIRST_KEY = {"raindrop": 1000, "rain-streak": 2000}

Pixels = NDArray[np.uint8]


def builtin_pairs(task: str) -> Iterator[tuple[str, Pixels, Pixels, Pixels]]:
    """Yield (name, degraded, clean, mask) of each test image of a task, always the same and in the same
    order.

    `degraded` and `clean`: [H, W, 3] uint8. `mask`: [H, W] uint8 in {0, 1}. Rendered in float64 on the CPU,
    so that rounding to 8 bit gives the same images everywhere. Raises `UnknownNameError` for an unknown
    task.
    """
    presets(task)
    key = _FIRST_KEY[task]
    for path in photos():
        with Image.open(path) as image:
            clean = np.asarray(image.convert("RGB"))
        for number, preset in enumerate(RENDERINGS[task], start=1):
            degraded, mask = _rendered(clean, key, task, preset)
            yield f"{path.stem}-{number}", degraded, clean, mask
            key += 1


def _rendered(clean: Pixels, key: int, task: str, preset: str) -> tuple[Pixels, Pixels]:
    scene = torch.from_numpy(clean.copy()).permute(2, 0, 1)[None].to(torch.float64) / 255
    degraded, mask = synthesize(scene, torch.tensor([key]), task, preset)
    return _eight_bit(degraded * 255), _eight_bit(mask)[..., 0]


def _eight_bit(image: Tensor) -> Pixels:
    pixels: Pixels = image[0].permute(1, 2, 0).round().to(torch.uint8).contiguous().numpy()
    return pixels
