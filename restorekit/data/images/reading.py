"""Reading image files into a `Picture`: the only place that does, for restoring, training and measuring."""

from __future__ import annotations

import io
import stat
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from restorekit.data.images import colour, extras, png, sidedata, tiff
from restorekit.data.images.decoding import guarded, listening, side_data
from restorekit.data.images.formats import DECODED, FORMATS, check_pixels
from restorekit.data.images.picture import Picture, Pixels
from restorekit.errors import ImageError

# Pillow's own size limit cannot be raised per call. It is off only while a header is being read, under this
# lock; `check_pixels` follows before any pixel is decoded.
_HEADER = threading.Lock()

_PLAIN = {"1": "L", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB"} | {m: m for m in ("L", "LA", "RGB", "RGBA")}
_LOSSLESS = ("PNG", "TIFF", "BMP", "GIF", "PPM", "TGA", "PCX", "SGI", "QOI", "PSD", "SUN")


_LARGE, _ROWS = 4_000_000, 512


@dataclass(frozen=True)
class Header:
    """What a header says: the size in pixels, turned upright, and how the stored pixels are to be turned."""

    height: int
    width: int
    orientation: int = 1


def read_picture(path: str | Path) -> Picture:
    """Read an image file of any kind that `formats` lists, turned upright.

    The content decides the format, not the suffix. Raises `ImageError`, and nothing else, when the file is missing, no
    regular file, unreadable, truncated, of another kind or larger than `max_pixels`.
    """
    path = Path(path)
    with guarded(path) as said:
        picture = _decoded(path, said)
    return replace(picture, path=path, notes=tuple(dict.fromkeys((*picture.notes, *said))))


def read_header(path: str | Path) -> Header:
    """Return what `read_picture` will give, without decoding pixels (but for JPEG XL). Raises `ImageError` likewise."""
    path = Path(path)
    with guarded(path) as said:
        kind = _kind(path)
        if kind == "PNG":
            chunks = png.read_chunks(path, pixels=False)
            return _header(chunks.width, chunks.height, sidedata.of_chunks(chunks, said).orientation)
        if kind == "JXL":
            picture = extras.read_jxl(path)
            return Header(picture.height, picture.width)
        try:
            with _opened(path, kind) as image:
                turn = 1 if kind in ("TIFF", "HEIF") else sidedata.of_image(image, said).orientation
                return _header(*image.size, turn)
        except (UnidentifiedImageError, KeyError):
            if kind != "TIFF":
                raise
            return Header(*tiff.upright_size(path))


def picture_of(image: Image.Image) -> Picture:
    """Turn a Pillow image into a `Picture`. The orientation tag is left alone.

    Raises `ImageError` for modes without a fixed range, such as ``F``, and for images that are closed.
    """
    notes: list[str] = []
    with listening():
        try:
            image.load()
            channels = _channels(image, notes)
        except ImageError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise ImageError(f"Pillow image: its pixels cannot be read ({why}); open or make it anew") from error
        side = sidedata.of_image(image, notes)
    icc = None if image.mode in colour.CONVERTED else side.icc
    picture = replace(side.onto(Picture.from_stored(channels)), exif=image.info.get("exif"))
    return replace(picture, format=_format(image), icc=icc, notes=tuple(notes))


def _header(width: int, height: int, orientation: int) -> Header:
    height, width = (width, height) if orientation >= 5 else (height, width)
    return Header(height, width, orientation)


def _kind(path: Path) -> str:
    """Return what reads the file. Raises `ImageError` for pipes and devices, which might never end."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(path)
    if not stat.S_ISREG(mode):
        raise ImageError("a pipe, socket or device, not a file; give an image file")
    with path.open("rb") as file:
        return extras.kind_of(file.read(64))


def _decoded(path: Path, notes: list[str]) -> Picture:
    kind = _kind(path)
    if kind == "PNG":
        return _read_png(path, notes)
    if kind == "JXL":
        return extras.read_jxl(path)
    try:
        with _opened(path, kind) as image:
            return _read(path, image, notes)
    except (UnidentifiedImageError, KeyError):  # KeyError: a compression that Pillow does not know
        if kind != "TIFF":
            raise
        return tiff.read_alone(path, notes)


def _opened(path: Path, kind: str) -> Image.Image:
    """Open a file with Pillow, its size checked."""
    if kind == "HEIF":
        extras.register_heif()
    image = _open(path, ("HEIF",) if kind == "HEIF" else DECODED)
    try:
        check_pixels(path, *image.size)
    except ImageError:
        image.close()
        raise
    return image


def _open(file: Path | io.BytesIO, formats: tuple[str, ...]) -> Image.Image:
    with _HEADER:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            Image.init()
            return Image.open(file, formats=[name for name in formats if name in Image.OPEN])  # AVIF: from 11.3 on
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _read(path: Path, image: Image.Image, notes: list[str]) -> Picture:
    kind = _format(image)
    lossless = image.format in _LOSSLESS or (image.format == "WEBP" and _webp_is_lossless(path))
    pages = side_data("number of frames", lambda: int(getattr(image, "n_frames", 1)), 1, notes)
    if pages > 1:
        notes.append(f"only the first of its {pages} frames was read")
    side = sidedata.of_image(image, notes)
    if image.format == "TIFF":
        tiff.refuse_volumes(image, pages)
        image.info.pop("xmp", None)  # in a TIFF its tag alone says how it is turned; Pillow would look there too
    icc = side.icc
    if tiff.is_deep(image):
        channels = turned(tiff.read_channels(path, notes), tiff.orientation_of(image))
    else:
        image.load()
        channels = turned(_channels(image, notes), side.orientation)
        icc = None if image.mode in colour.CONVERTED else icc
    return replace(side.onto(Picture.from_stored(channels)), format=kind, icc=icc, lossless=lossless)


def _read_png(path: Path, notes: list[str]) -> Picture:
    chunks = png.read_chunks(path)
    side = sidedata.of_chunks(chunks, notes)
    if frames := chunks.first(b"acTL"):
        notes.append(f"only the first of its {int.from_bytes(frames[:4], 'big')} frames was read")
    if chunks.depth == 16:
        channels = png.read_16_bit(chunks)
    else:
        with _open(io.BytesIO(chunks.pixels), ("PNG",)) as image:
            image.load()
            channels = _channels(image, notes)
    picture = Picture.from_stored(turned(channels, side.orientation))
    return replace(side.onto(picture), icc=side.icc)


def turned(channels: Pixels, orientation: int) -> Pixels:
    """Turn [H, W, ...] stored with an EXIF orientation of 1...8 upright."""
    if orientation >= 5:
        channels = channels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        channels = channels[::-1]
    if orientation in (2, 3, 6, 7):
        channels = channels[:, ::-1]
    return np.ascontiguousarray(channels)


def _channels(image: Image.Image, notes: list[str]) -> Pixels:
    """Return the channels as [H, W, ...]."""
    transparent = "transparency" in image.info
    if image.mode in ("I;16", "I;16L", "I;16B"):
        return np.asarray(image).astype(np.uint16)
    if image.mode == "I":
        return _grey_16(image)
    if image.mode in _PLAIN:
        if image.mode == "RGBX":
            notes.append("its fourth channel, which is no transparency, was left out")
        mode = _PLAIN[image.mode] + ("A" if transparent and image.mode in ("L", "1", "RGB") else "")
        return _array(image if image.mode == mode else image.convert(mode))
    if image.mode in ("P", "PA"):
        notes.append("its palette was replaced by full colours")
        return np.asarray(image.convert("RGBA" if transparent or image.mode == "PA" else "RGB"))
    if image.mode in colour.CONVERTED:
        notes.append(f"its {image.mode} colours were converted to RGB")
        return np.asarray(colour.rgb_of(image, image.info.get("icc_profile")))
    raise ImageError(f"pixels of the kind {image.mode!r} have no fixed range; save it with 8 or 16 bits")


def _array(image: Image.Image) -> Pixels:
    """Return the levels of a Pillow image, of a large one some rows at a time: Pillow would hold it twice more."""
    if image.width * image.height < _LARGE:
        return np.asarray(image)
    strips = [(0, top, image.width, min(top + _ROWS, image.height)) for top in range(0, image.height, _ROWS)]
    bands = len(image.getbands())
    levels = np.empty((image.height, image.width, bands)[: 2 + (bands > 1)], np.uint8)
    for strip in strips:
        levels[strip[1] : strip[3]] = np.asarray(image.crop(strip))
    return levels


def _grey_16(image: Image.Image) -> Pixels:
    """Return 32-bit whole numbers as uint16; older programs hand 16-bit grey over like this."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError("its 32-bit levels do not fit into 16 bits; save the image with 8 or 16 bits")
    return values.astype(np.uint16)


def _format(image: Image.Image) -> str:
    return image.format if image.format in FORMATS else "JPEG" if image.format == "MPO" else "PNG"


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
