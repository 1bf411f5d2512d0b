"""Which image files are read and written, and how large they may be. Imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path

from restorekit.errors import ImageError, closest

SUFFIXES: dict[str, str] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
}
"""Suffixes of files that are read and written, with the name of the format."""

ONLY_READ: dict[str, str] = {
    ".apng": "PNG",
    ".bmp": "BMP",
    ".bw": "SGI",
    ".dib": "BMP",
    ".gif": "GIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
    ".j2k": "JPEG2000",
    ".jp2": "JPEG2000",
    ".jpf": "JPEG2000",
    ".jpx": "JPEG2000",
    ".jxl": "JXL",
    ".mpo": "MPO",
    ".pbm": "PPM",
    ".pcx": "PCX",
    ".pgm": "PPM",
    ".pnm": "PPM",
    ".ppm": "PPM",
    ".psd": "PSD",
    ".qoi": "QOI",
    ".ras": "SUN",
    ".rgb": "SGI",
    ".rgba": "SGI",
    ".sgi": "SGI",
    ".tga": "TGA",
}
"""Suffixes of files that are read, and whose results are PNG files unless another format is asked for."""

READABLE: dict[str, str] = SUFFIXES | ONLY_READ

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")
"""The formats that are written."""

DECODED: tuple[str, ...] = tuple(sorted({*READABLE.values(), "DIB"} - {"HEIF", "JXL", "MPO", "PNG"}))
"""What Pillow may try. Not the others that it knows: some start programs (PostScript), some are no photographs."""

OTHER_SUFFIXES = frozenset(
    [".arw", ".cr2", ".cr3", ".dng", ".eps", ".nef", ".orf", ".pef", ".raf", ".rw2", ".srw", ".svg", ".xcf"]
)
"""Pictures that are neither read nor written."""

MAX_PIXELS_VARIABLE = "RESTOREKIT_MAX_PIXELS"
_DEFAULT_MAX_PIXELS = 250_000_000


def is_image_name(path: str | Path) -> bool:
    """Tell whether the file name ends like an image that can be read; hidden files are none."""
    path = Path(path)
    return path.suffix.lower() in READABLE and not path.name.startswith(".")


def result_name(path: str | Path) -> Path:
    """Return the name of an image's result: its own, or that of a PNG file where its kind is not written."""
    path = Path(path)
    return path if path.suffix.lower() in SUFFIXES else path.with_suffix(".png")


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
