"""Reading one image file of a data set: what `restorekit.data.images` reads, as 8-bit RGB. Loads nothing before use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def read_rgb8(path: Path | str) -> NDArray[np.uint8]:
    """Read an image file as uint8 RGB [H, W, 3], turned upright, alpha dropped, 16 bits rounded to 8.

    Raises `ImageError` as `read_picture` does.
    """
    from restorekit.data.images import read_picture

    pixels: NDArray[np.uint8] = read_picture(path).to_8_bit().pixels
    return pixels


def image_size(path: Path | str) -> tuple[int, int]:
    """Return (height, width) in pixels from the header, turned upright. Raises `ImageError` as `read_picture` does."""
    from restorekit.data.images import read_header

    header = read_header(path)
    return header.height, header.width
