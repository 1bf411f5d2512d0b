"""Reading one image file of a data set. Pillow and numpy are imported on first use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from restorekit.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})

_TIFF = frozenset({".tif", ".tiff"})  # of many kinds, some of which Pillow alone turns into wrong pixels
_ORIENTATION = 0x0112
_SWAPS_AXES = frozenset({5, 6, 7, 8})


def is_image(name: str) -> bool:
    """Tell by its suffix whether a file is an image; hidden files are not."""
    path = Path(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _problem(path: Path, error: Exception) -> ImageError:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, Image.DecompressionBombError):
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return ImageError(f"{path}: the image is enormous; at most {limit:,} pixels are read. Make it smaller.")
    if isinstance(error, FileNotFoundError):
        return ImageError(f"{path}: no such file.")
    if isinstance(error, UnidentifiedImageError):
        return ImageError(
            f"{path}: not an image that can be read (a damaged header, or another kind of file). Replace or remove it."
        )
    return ImageError(f"{path}: cannot be read, the file is truncated or damaged ({error}). Replace it.")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bit: Pillow's own conversion clips everything above 255 to white."""
    if image.mode.startswith("I;16") or image.mode == "I":
        import numpy as np
        from PIL import Image

        wide = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.clip(np.rint(wide / 257), 0, 255).astype(np.uint8))
    return image


def read_rgb8(path: Path | str) -> NDArray[np.uint8]:
    """Read an image file as uint8 RGB [H, W, 3], EXIF orientation applied, alpha dropped.

    Raises `ImageError` naming the file when it is missing, not an image, truncated, damaged, or beyond
    Pillow's limit on pixels.
    """
    import numpy as np
    from PIL import Image, ImageOps

    path = Path(path)
    if path.suffix.lower() in _TIFF:
        from restorekit.data.images import read_picture

        return read_picture(path).to_8_bit().pixels
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            return np.asarray(_eight_bit(upright).convert("RGB"))
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise _problem(path, error) from error


def _png_has_exif(path: Path) -> bool:
    """Walk the chunks of a PNG (length, type, data, checksum) without reading their data."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            if head[4:] == b"eXIf":
                return True
            file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    return False


def _has_exif(image: Image.Image, path: Path) -> bool:
    """Whether EXIF data may turn the image against the size that Pillow gives before decoding."""
    if image.format == "PNG":
        return _png_has_exif(path)  # to answer for EXIF data itself, Pillow decodes all of a PNG
    return image.format != "TIFF"  # there, Pillow's size is the turned one


def image_size(path: Path | str) -> tuple[int, int]:
    """Return (height, width) in pixels from the header, EXIF orientation applied; decodes no pixels
    (but for a PNG with EXIF data).

    Raises `ImageError` as `read_rgb8` does.
    """
    from PIL import Image

    path = Path(path)
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = _has_exif(image, path) and image.getexif().get(_ORIENTATION, 1) in _SWAPS_AXES
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise _problem(path, error) from error
    return (width, height) if turned else (height, width)
