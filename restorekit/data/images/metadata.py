"""EXIF: taking it out of an image, and resetting its orientation without touching anything else."""

from __future__ import annotations

import struct
from typing import Any

from PIL import Image

PREFIX = b"Exif\x00\x00"
ORIENTATION = 0x0112
EXIF_IFD = 0x8769
GPS_IFD = 0x8825

# The tags of a TIFF file that describe the picture (names: EXIF 2.32, section 4.6.4). All others describe how
# this one file stores its pixels and must not go into another.
DESCRIPTIVE = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)

# Pillow's names for turning an image that is stored with EXIF orientation 2...8 upright.
TURNS: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def reset_orientation(exif: bytes) -> bytes:
    """Return `exif` with the orientation set to 1 (upright) and every other byte as it was.

    The bytes are patched in place because decoding and encoding again would move the maker notes, whose
    inner offsets no library understands. Layout: TIFF 6.0, section 2.
    """
    start = len(PREFIX) if exif.startswith(PREFIX) else 0
    order = {b"II": "<", b"MM": ">"}.get(exif[start : start + 2])
    if order is None or len(exif) < start + 8:
        return exif
    patched = bytearray(exif)
    try:
        first = start + struct.unpack_from(order + "I", exif, start + 4)[0]
        for index in range(struct.unpack_from(order + "H", exif, first)[0]):
            at = first + 2 + 12 * index
            if struct.unpack_from(order + "H", exif, at)[0] == ORIENTATION:
                struct.pack_into(order + "H", patched, at + 8, 1)
    except struct.error:  # a directory that points outside the block: there is no orientation to reset
        return exif
    return bytes(patched)


def exif_of(image: Image.Image) -> bytes | None:
    """Return the EXIF block of a loaded image, upright, or None. A TIFF gives its descriptive tags."""
    if image.format == "TIFF":
        return _exif_of_tiff(image)
    raw = image.info.get("exif")
    if not raw:
        tags = image.getexif()  # PNG files of some programs hold EXIF as hexadecimal text
        raw = tags.tobytes() if len(tags) else b""
    if not raw:
        return None
    return reset_orientation(raw if raw.startswith(PREFIX) else PREFIX + raw)


def text_bytes(value: Any) -> bytes:
    """Return a text tag as the bytes that the file holds, whatever their encoding.

    Pillow decodes them as Latin-1, and encodes text as ASCII, with a question mark for each other letter.
    """
    return value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")


def _exif_of_tiff(image: Image.Image) -> bytes | None:
    tags, kept = image.getexif(), Image.Exif()
    for tag in DESCRIPTIVE:
        if tag in tags:
            kept[tag] = text_bytes(tags[tag])
    for tag in (EXIF_IFD, GPS_IFD):
        inner: dict[int, Any] = tags.get_ifd(tag)
        if inner:
            kept[tag] = dict(inner)
    return kept.tobytes() if len(kept) else None


def parsed(exif: bytes | None) -> Image.Exif:
    """Return the tags of an EXIF block."""
    tags = Image.Exif()
    if exif:
        tags.load(exif)
    return tags


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) to 8; 1 for values that the standard does not know."""
    value = image.getexif().get(ORIENTATION, 1)
    return value if value in TURNS else 1
