"""Which image files are read and written, and how large they may be."""

from __future__ import annotations

import os
from pathlib import Path

from restorekit.errors import ImageError, closest

SUFFIXES: dict[str, str] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
OTHER_SUFFIXES = frozenset(
    [
        ".avif",
        ".bmp",
        ".gif",
        ".heic",
        ".heif",
        ".jp2",
        ".jxl",
        ".pgm",
        ".ppm",
        ".psd",
        ".tga",
        ".arw",
        ".cr2",
        ".cr3",
        ".dng",
        ".nef",
        ".orf",
        ".raf",
        ".rw2",
    ]
)
"""Pictures that are neither read nor written."""

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "TIFF")

MAX_PIXELS_VARIABLE = "RESTOREKIT_MAX_PIXELS"
_DEFAULT_MAX_PIXELS = 250_000_000


def is_image_name(path: str | Path) -> bool:
    """Tell whether the file name ends like an image that can be read and written."""
    return Path(path).suffix.lower() in SUFFIXES


def format_of(path: str | Path) -> str:
    """Return the format that the suffix of `path` stands for, such as ``"PNG"``.

    Raises `ImageError` for a suffix that is not supported.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ImageError(
            f"{path}: cannot write {suffix or 'a file without a suffix'}; use one of"
            f" {', '.join(SUFFIXES)}.{closest(suffix, SUFFIXES)}"
        )
    return SUFFIXES[suffix]


def max_pixels() -> int:
    """Return how many pixels an image may have; the environment variable raises or lowers it.

    Raises `ImageError` when the variable is not a positive whole number.
    """
    text = os.environ.get(MAX_PIXELS_VARIABLE, "")
    if not text:
        return _DEFAULT_MAX_PIXELS
    if not text.isdecimal() or int(text) == 0:
        raise ImageError(f"{MAX_PIXELS_VARIABLE} is {text!r}; give a positive whole number such as 400000000")
    return int(text)


def check_pixels(path: str | Path, width: int, height: int) -> None:
    """Raise `ImageError` when an image of this size is larger than `max_pixels`."""
    if width * height > max_pixels():
        raise ImageError(
            f"{path}: {width} x {height} pixels are more than the allowed {max_pixels()}; a small file can"
            f" claim to be huge. If you trust it, set {MAX_PIXELS_VARIABLE}={width * height}"
        )
