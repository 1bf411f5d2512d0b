"""16-bit PNG and TIFF files, which Pillow reads and writes with 8 bits only (except plain grey).

Reading is left to torchvision (libpng) and tifffile. Neither they nor Pillow write 16-bit PNG: that part is
here, after the Portable Network Graphics specification, third edition, sections 5, 9 and 11.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from restorekit.data.images import tiff
from restorekit.data.images.metadata import PREFIX
from restorekit.data.images.picture import Picture, Pixels

_BITS_PER_SAMPLE, _SAMPLE_FORMAT, _UNSIGNED = 258, 339, 1
_ROWS_AT_ONCE = 64


def is_deep(path: Path, image: Image.Image) -> bool:
    """Tell whether the opened file has more than 8 bits per channel."""
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24:] == b"\x10"  # the bit depth in IHDR
    if image.format == "TIFF":
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, (1,))  # type: ignore[attr-defined]
        return bool(max(bits) > 8)
    return False


def read_channels(path: Path, image: Image.Image) -> Pixels:
    """Return [H, W] or [H, W, 2 | 3 | 4] uint16. Raises `ImageError` for other kinds of deep TIFF."""
    return _read_png(path) if image.format == "PNG" else tiff.read_channels(path)


def turned(channels: Pixels, orientation: int) -> Pixels:
    """Turn [H, W, ...] stored with an EXIF orientation of 1...8 upright."""
    if orientation >= 5:
        channels = channels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        channels = channels[::-1]
    if orientation in (2, 3, 6, 7):
        channels = channels[:, ::-1]
    return np.ascontiguousarray(channels)


def _read_png(path: Path) -> Pixels:
    import torch
    from torchvision.io import ImageReadMode, decode_png

    data = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
    with warnings.catch_warnings():
        # torchvision announces that TorchCodec will take its decoders over; this one is still there.
        warnings.simplefilter("ignore", DeprecationWarning)
        planes = decode_png(data, mode=ImageReadMode.UNCHANGED).numpy()
    return planes[0] if planes.shape[0] == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0))


def write_png(file: BinaryIO, picture: Picture) -> None:
    """Write a 16-bit PNG with ICC profile, EXIF and resolution."""
    channels = picture.stored()
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[1 if channels.ndim == 2 else channels.shape[2]]
    file.write(b"\x89PNG\r\n\x1a\n")
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 16, colour_type, 0, 0, 0)
    _chunk(file, b"IHDR", header)
    if picture.icc:
        _chunk(file, b"iCCP", b"ICC profile\x00\x00" + zlib.compress(picture.icc))
    if picture.dpi:
        per_metre = [round(value / 0.0254) for value in picture.dpi]
        _chunk(file, b"pHYs", struct.pack(">IIB", *per_metre, 1))
    if picture.exif:
        _chunk(file, b"eXIf", picture.exif.removeprefix(PREFIX))
    _write_rows(file, channels.reshape(picture.height, -1))
    _chunk(file, b"IEND", b"")


def _write_rows(file: BinaryIO, rows: Pixels) -> None:
    """Compress [H, W * channels] uint16 with filter 2 (difference to the row above), some rows at a time."""
    encoder = zlib.compressobj(6)
    above = np.zeros((1, 2 * rows.shape[1]), np.uint8)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        data = rows[start : start + _ROWS_AT_ONCE].astype(">u2").view(np.uint8)
        filtered = data - np.concatenate([above, data[:-1]])
        marked = np.concatenate([np.full((len(data), 1), 2, np.uint8), filtered], axis=1)
        if compressed := encoder.compress(marked.tobytes()):
            _chunk(file, b"IDAT", compressed)
        above = data[-1:]
    _chunk(file, b"IDAT", encoder.flush())


def _chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
