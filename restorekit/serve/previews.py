"""What browsers show of a picture: a JPEG of at most 4096 pixels, whatever the file is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from restorekit.data.images import Picture

LONGEST_SIDE = 4096
THUMBNAIL = 240
_PAPER = 255


def write_preview(picture: Picture, path: Path, longest: int = LONGEST_SIDE, quality: int = 90) -> None:
    """Write a picture as JPEG, on white where it is transparent, with its colour profile."""
    image = Image.fromarray(_opaque(picture.to_8_bit()))
    image.thumbnail((longest, longest), Image.Resampling.BOX, reducing_gap=2.0)
    image.save(path, "JPEG", quality=quality, icc_profile=picture.icc if not picture.grey else None)


def _opaque(picture: Picture) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if picture.alpha is None:
        return picture.pixels
    alpha = picture.alpha[..., None].astype(np.float32) / 255
    levels = picture.pixels * alpha + _PAPER * (1 - alpha)
    return (levels + 0.5).astype(np.uint8)
