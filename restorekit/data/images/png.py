"""PNG files: taking one apart before a decoder sees it, and the 16-bit ones, which Pillow handles with 8 bits.

Decoders refuse a whole picture for a text or a profile that is large or damaged, and see metadata behind the pixels
only after decoding. Here the chunks are told apart first (Portable Network Graphics specification, third edition,
sections 5, 9 and 11): decoders get those that make up the pixels.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from restorekit.data.images.formats import check_pixels
from restorekit.data.images.picture import Picture, Pixels
from restorekit.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = "XML:com.adobe.xmp"
_PIXELS = frozenset([b"IHDR", b"PLTE", b"tRNS", b"IDAT"])
_SIDE = frozenset([b"iCCP", b"eXIf", b"pHYs", b"acTL", b"tEXt", b"zTXt", b"iTXt"])
_KEPT = 32 << 20  # bytes of one unpacked text or profile
_ROWS_AT_ONCE = 64
_CHANNELS = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> colour type


@dataclass
class Chunks:
    """What a PNG file holds. `pixels` is a complete PNG without side data, empty when only the header was asked for.

    `side`: (kind, data) of the chunks that carry metadata, in the file's order.
    """

    width: int
    height: int
    depth: int
    colour: int
    pixels: bytes = b""
    transparent: bytes = b""
    side: list[tuple[bytes, bytes]] = field(default_factory=list)

    def first(self, kind: bytes) -> bytes | None:
        """Return the data of the first side chunk of a kind."""
        return next((data for name, data in self.side if name == kind), None)


def read_chunks(path: Path, *, pixels: bool = True) -> Chunks:
    """Tell a file's chunks apart. Raises `ImageError` for a damaged header, or pixels whose checksum is wrong."""
    with path.open("rb") as file:
        if file.read(8) != SIGNATURE:
            raise ImageError("its first bytes are not those of a PNG file; download it again")
        kind, data = _chunk_of(file)
        if kind != b"IHDR" or len(data) != 13:
            raise ImageError("truncated or damaged: its first chunk is not a PNG header; download it again")
        width, height, depth, colour = struct.unpack(">IIBB", data[:10])
        if not (width and height):
            raise ImageError(f"truncated or damaged: its header says {width} x {height} pixels; download it again")
        check_pixels(path, width, height)
        found = Chunks(width, height, depth, colour)
        found.pixels = _rest(file, found, SIGNATURE + _packed(kind, data), pixels)
    return found


def _rest(file: BinaryIO, found: Chunks, start: bytes, pixels: bool) -> bytes:
    """Read all chunks after the header into `found`; return the PNG of those that make up the pixels."""
    parts = [start]
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            break
        if kind in _PIXELS and pixels:
            data = _data(file, size, kind)
            parts.append(_packed(kind, data))
            found.transparent = data if kind == b"tRNS" else found.transparent
        elif kind in _SIDE:
            found.side.append((kind, file.read(size)))
            file.seek(4, os.SEEK_CUR)
        else:
            file.seek(size + 4, os.SEEK_CUR)
    return b"".join([*parts, _packed(b"IEND", b"")]) if pixels else b""


def _chunk_of(file: BinaryIO) -> tuple[bytes, bytes]:
    head = file.read(8)
    if len(head) < 8:
        raise ImageError("truncated or damaged: it ends in its header; download it again")
    size, kind = struct.unpack(">I4s", head)
    return kind, _data(file, min(size, 64), kind)


def _data(file: BinaryIO, size: int, kind: bytes) -> bytes:
    data, check = file.read(size), file.read(4)
    if len(data) == size and len(check) == 4 and struct.unpack(">I", check)[0] != zlib.crc32(kind + data):
        name = kind.decode("latin-1") if kind.isalpha() else repr(kind)[1:]
        raise ImageError(f"truncated or damaged: the checksum of its {name} chunk is wrong; download it again")
    return data


def unpacked(data: bytes) -> bytes:
    """Return what a zlib stream holds. Raises `ValueError` when that is beyond any text or profile."""
    engine = zlib.decompressobj()
    plain = engine.decompress(data, _KEPT)
    if engine.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {_KEPT >> 20} MiB")
    return plain


def profile_of(data: bytes) -> bytes:
    """Return the ICC profile of an ``iCCP`` chunk."""
    return unpacked(data[data.index(b"\0") + 2 :])


def text_of(kind: bytes, data: bytes) -> tuple[str, bytes]:
    """Return keyword and text (UTF-8) of a ``tEXt``, ``zTXt`` or ``iTXt`` chunk."""
    keyword, _, rest = data.partition(b"\0")
    if kind == b"iTXt":
        _language, _, tail = rest[2:].partition(b"\0")
        _translated, _, text = tail.partition(b"\0")
        return keyword.decode("latin-1"), unpacked(text) if rest[:1] == b"\1" else text
    text = unpacked(rest[1:]) if kind == b"zTXt" else rest
    return keyword.decode("latin-1"), text.decode("latin-1").encode()


def read_16_bit(chunks: Chunks) -> Pixels:
    """Return [H, W] or [H, W, 2 | 3 | 4] uint16; a colour that stands for transparency becomes alpha.

    Pillow keeps one byte of each two: it is asked for the upper ones, and then for the lower ones. Two channels of two
    bytes are one pixel of four channels to it. (libpng through torchvision crashes on some damaged files.)
    """
    data = _without_key(chunks)
    if chunks.colour == 0:
        channels: Pixels = _planes(data, "I;16B").astype(np.uint16)[..., None]
    elif chunks.colour == 4:
        four = _planes(_as_rgba_8(data), "RGBA").astype(np.uint16)
        channels = four[..., ::2] << np.uint16(8) | four[..., 1::2]
    else:
        name = "RGB" if chunks.colour == 2 else "RGBA"
        channels = _planes(data, f"{name};16B").astype(np.uint16) << np.uint16(8) | _planes(data, f"{name};16L")
    if chunks.transparent and chunks.colour in (0, 2):
        key = np.frombuffer(chunks.transparent[: 2 * channels.shape[2]], ">u2")
        alpha = np.where((channels == key).all(axis=2, keepdims=True), 0, 65535).astype(np.uint16)
        channels = np.concatenate([channels, alpha], axis=2)
    return channels[..., 0] if channels.shape[2] == 1 else channels


def _planes(data: bytes, raw: str) -> Pixels:
    """Decode a PNG with Pillow, its bytes taken as the raw mode says."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.tile = [tile._replace(args=raw) for tile in image.tile]
        return np.asarray(image)


def _as_rgba_8(data: bytes) -> bytes:
    """Return the PNG with a header that says 8 bits RGBA, which has as many bytes a pixel as 16 bits with alpha."""
    return data[:8] + _packed(b"IHDR", data[16:24] + b"\x08\x06" + data[26:29]) + data[33:]


def _without_key(chunks: Chunks) -> bytes:
    return chunks.pixels.replace(_packed(b"tRNS", chunks.transparent), b"", 1) if chunks.transparent else chunks.pixels


def write_16_bit(file: BinaryIO, picture: Picture, texts: list[tuple[str, str]]) -> None:
    """Write a 16-bit PNG with ICC profile, EXIF, resolution and texts."""
    channels = picture.stored()
    colour = _CHANNELS[1 if channels.ndim == 2 else channels.shape[2]]
    file.write(SIGNATURE)
    _put(file, b"IHDR", struct.pack(">IIBBBBB", picture.width, picture.height, 16, colour, 0, 0, 0))
    if picture.icc:
        _put(file, b"iCCP", b"ICC profile\x00\x00" + zlib.compress(picture.icc))
    if picture.dpi:
        per_metre = [round(value / 0.0254) for value in picture.dpi]
        _put(file, b"pHYs", struct.pack(">IIB", *per_metre, 1))
    if picture.exif:
        _put(file, b"eXIf", picture.exif.removeprefix(b"Exif\x00\x00"))
    for keyword, text in texts:
        _put(file, b"iTXt", keyword.encode("latin-1", "replace") + b"\0\0\0\0\0" + text.encode())
    _write_rows(file, channels.reshape(picture.height, -1))
    _put(file, b"IEND", b"")


def _write_rows(file: BinaryIO, rows: Pixels) -> None:
    """Compress [H, W * channels] uint16 with filter 2 (difference to the row above), some rows at a time."""
    encoder = zlib.compressobj(6)
    above = np.zeros((1, 2 * rows.shape[1]), np.uint8)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        data = rows[start : start + _ROWS_AT_ONCE].astype(">u2").view(np.uint8)
        filtered = data - np.concatenate([above, data[:-1]])
        marked = np.concatenate([np.full((len(data), 1), 2, np.uint8), filtered], axis=1)
        if compressed := encoder.compress(marked.tobytes()):
            _put(file, b"IDAT", compressed)
        above = data[-1:]
    _put(file, b"IDAT", encoder.flush())


def _packed(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _put(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(_packed(kind, data))
