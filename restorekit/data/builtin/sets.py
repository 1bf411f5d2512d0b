"""The built-in test sets: fixed renderings of rain and raindrops over the built-in photographs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from restorekit.data.builtin import photos
from restorekit.data.synthesis import presets
from restorekit.data.synthesis.render import Pixels, render

BUILTIN_VERSION = "1"
"""Raised whenever a pixel of a built-in set changes: scores of different versions must not be compared."""

RENDERINGS = {"raindrop": ("drops", "drops"), "rain-streak": ("light", "medium")}
"""The presets by which each photograph is rendered, per task."""

_FIRST_KEY = {"raindrop": 1000, "rain-streak": 2000}


def builtin_pairs(task: str) -> Iterator[tuple[str, Pixels, Pixels, Pixels]]:
    """Yield (name, degraded, clean, mask) of each test image of a task, always the same and in the same
    order.

    `degraded` and `clean`: [H, W, 3] uint8. `mask`: [H, W] uint8 in {0, 1}. Raises `UnknownNameError` for an unknown
    task.
    """
    presets(task)
    key = _FIRST_KEY[task]
    for path in photos():
        with Image.open(path) as image:
            clean = np.asarray(image.convert("RGB"))
        for number, preset in enumerate(RENDERINGS[task], start=1):
            degraded, mask = render(clean, key, task, preset)
            yield f"{path.stem}-{number}", degraded, clean, mask
            key += 1
