"""Reading image files into a `Picture`."""

from __future__ import annotations

import errno
import io
import struct
import threading
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from restorekit.data.images import deep, tiff
from restorekit.data.images.formats import FORMATS, SUFFIXES, check_pixels
from restorekit.data.images.metadata import TURNS, exif_of, orientation_of
from restorekit.data.images.picture import Picture, Pixels
from restorekit.errors import ImageError

# Pillow's own size limit cannot be raised per call. It is off only while a header is being read, under this
# lock; `check_pixels` follows before any pixel is decoded.
_HEADER = threading.Lock()

_PLAIN = {"1": "L", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB"} | {m: m for m in ("L", "LA", "RGB", "RGBA")}

# What Pillow, libpng and tifffile raise for damaged files.
_FAILURES = (
    OSError,
    ValueError,
    SyntaxError,
    RuntimeError,
    MemoryError,
    EOFError,
    IndexError,
    KeyError,
    struct.error,
    zlib.error,
)


def read_picture(path: str | Path) -> Picture:
    """Read a JPEG, PNG, WebP or TIFF file, turned upright.

    The content decides the format, not the suffix. Raises `ImageError` when the file is missing, unreadable,
    truncated, of another kind or larger than `max_pixels`.
    """
    path = Path(path)
    try:
        with _open(path) as image:
            check_pixels(path, *image.size)
            return replace(_read(path, image), path=path)
    except UnidentifiedImageError as error:
        if not tiff.is_tiff(path):
            raise ImageError(_reason(path, error)) from error
        return _read_unknown_tiff(path)
    except _FAILURES as error:
        raise ImageError(_reason(path, error)) from error


def _read_unknown_tiff(path: Path) -> Picture:
    try:
        return replace(tiff.read_alone(path, deep.turned), path=path)
    except _FAILURES as error:
        raise ImageError(_reason(path, error)) from error


def picture_of(image: Image.Image) -> Picture:
    """Turn a Pillow image into a `Picture`. The orientation tag is left alone.

    Raises `ImageError` for modes without a fixed range, such as ``F``.
    """
    channels, icc, notes = _channels(image)
    return Picture.from_stored(
        channels, format=_format(image), icc=icc, notes=notes, exif=image.info.get("exif"), dpi=_dpi(image)
    )


def _open(path: Path) -> Image.Image:
    with _HEADER:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path, formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _read(path: Path, image: Image.Image) -> Picture:
    pages = getattr(image, "n_frames", 1)
    if deep.is_deep(path, image):
        # Pillow would silently cut these to 8 bits; it still reads the metadata.
        orientation = orientation_of(image)
        channels = deep.turned(deep.read_channels(path, image), orientation)
        picture = Picture.from_stored(channels, icc=image.info.get("icc_profile"))
    else:
        image.load()
        turn = TURNS.get(orientation_of(image))
        upright = image if turn is None else image.transpose(turn)
        channels, icc, notes = _channels(upright)
        picture = Picture.from_stored(channels, icc=icc, notes=notes)
    if pages > 1 and image.format != "MPO":
        picture = replace(picture, notes=(*picture.notes, f"only the first of its {pages} frames was read"))
    lossless = image.format in ("PNG", "TIFF") or (image.format == "WEBP" and _webp_is_lossless(path))
    return replace(picture, format=_format(image), exif=exif_of(image), dpi=_dpi(image), lossless=lossless)


def _channels(image: Image.Image) -> tuple[Pixels, bytes | None, tuple[str, ...]]:
    """Return the channels as [H, W, ...], the ICC profile that fits them, and notes."""
    icc = image.info.get("icc_profile")
    transparent = "transparency" in image.info
    if image.mode in ("I;16", "I;16L", "I;16B"):
        return np.asarray(image).astype(np.uint16), icc, ()
    if image.mode == "I":
        return _grey_16(image), icc, ()
    if image.mode in _PLAIN:
        mode = _PLAIN[image.mode] + ("A" if transparent and image.mode in ("L", "1", "RGB") else "")
        return np.asarray(image if image.mode == mode else image.convert(mode)), icc, ()
    if image.mode in ("P", "PA"):
        mode = "RGBA" if transparent or image.mode == "PA" else "RGB"
        return np.asarray(image.convert(mode)), icc, ("its palette was replaced by full colours",)
    if image.mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        note = f"its {image.mode} colours were converted to RGB"
        return np.asarray(_to_srgb(image, icc)), None, (note,)
    raise ImageError(f"pixels of the kind {image.mode!r} have no fixed range; save it with 8 or 16 bits")


def _grey_16(image: Image.Image) -> Pixels:
    """Return 32-bit whole numbers as uint16; older programs hand 16-bit grey over like this."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError("its 32-bit levels do not fit into 16 bits; save the image with 8 or 16 bits")
    return values.astype(np.uint16)


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert to sRGB through the profile where there is a usable one, else by Pillow's plain formula."""
    if icc and image.mode == "CMYK":
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):  # a damaged or unfitting profile: the plain formula follows
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def _format(image: Image.Image) -> str:
    return image.format if image.format in FORMATS else "JPEG" if image.format == "MPO" else "PNG"


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    value: Any = image.info.get("dpi")
    if not value or not all(0 < float(part) < 1e6 for part in value):
        return None
    return float(value[0]), float(value[1])


def _webp_is_lossless(path: Path) -> bool:
    """Tell whether the file has a lossless bitstream: a ``VP8L`` chunk (WebP container specification)."""
    with path.open("rb") as file:
        file.seek(12)
        while len(header := file.read(8)) == 8:
            if header[:4] in (b"VP8L", b"VP8 "):
                return header[:4] == b"VP8L"
            size = int.from_bytes(header[4:], "little")
            file.seek(size + size % 2, 1)
    return False


def _reason(path: Path, error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        suffix = path.suffix.lower()
        if suffix and suffix not in SUFFIXES:
            return f"{path}: {suffix} is not supported; convert it to PNG, JPEG, WebP or TIFF"
        return f"{path}: not a JPEG, PNG, WebP or TIFF image, or damaged; open it in an image viewer to see"
    if isinstance(error, FileNotFoundError):
        return f"{path}: there is no such file; check the path"
    if isinstance(error, IsADirectoryError):
        return f"{path}: a folder, not an image file; give a file"
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return f"{path}: no permission to read it; change its permissions"
    if isinstance(error, MemoryError):
        return f"{path}: not enough memory to read it; close other programs or make the image smaller"
    return f"{path}: truncated or damaged ({error}); copy or download it again"
