"""EXIF: taking it out of an image, and changing a few entries of a block without touching anything else.

Blocks are patched in place, because decoding and encoding again would move the maker notes, whose inner offsets no
library understands. Layout: TIFF 6.0, section 2; tags: EXIF 2.32, section 4.6.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

PREFIX = b"Exif\x00\x00"
ORIENTATION = 0x0112
EXIF_IFD = 0x8769
GPS_IFD = 0x8825
_MAKER_NOTE, _USER_COMMENT = 0x927C, 0x9286
_THUMBNAIL_AT, _THUMBNAIL_SIZE = 0x0201, 0x0202
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}

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


@dataclass(frozen=True)
class _Entry:
    tag: int
    at: int
    value: int
    where: slice  # of the value's bytes


class _Block:
    """An EXIF block that can be changed in place; directories that point outside of it have no entries."""

    def __init__(self, exif: bytes) -> None:
        self.start = len(PREFIX) if exif.startswith(PREFIX) else 0
        self.bytes = bytearray(exif)
        order = {b"II": "<", b"MM": ">"}.get(exif[self.start : self.start + 2])
        self.order = order if order and len(exif) >= self.start + 8 else ""

    def number(self, kind: str, at: int) -> int:
        """Return the unsigned number at a place; 0 outside of the block."""
        try:
            return int(struct.unpack_from(self.order + kind, self.bytes, at)[0])
        except struct.error:
            return 0

    @property
    def first(self) -> int:
        """Where the first directory starts."""
        return self.start + self.number("I", self.start + 4)

    def next_pointer(self, directory: int) -> int:
        """Where the pointer to the directory behind this one stands."""
        return directory + 2 + 12 * self.number("H", directory)

    def entries(self, directory: int) -> Iterator[_Entry]:
        """Yield the entries of a directory."""
        for index in range(self.number("H", directory) if self.order else 0):
            at = directory + 2 + 12 * index
            if at + 12 > len(self.bytes):
                return
            kind, count = self.number("H", at + 2), self.number("I", at + 4)
            size = _SIZES.get(kind, 1) * count
            place = at + 8 if size <= 4 else self.start + self.number("I", at + 8)
            value = self.number("H" if kind == 3 else "I", at + 8)
            yield _Entry(self.number("H", at), at, value, slice(place, place + size))

    def find(self, directory: int, tag: int) -> _Entry | None:
        """Return the first entry of a tag."""
        return next((entry for entry in self.entries(directory) if entry.tag == tag), None)

    def clear(self, where: slice) -> None:
        """Fill a part with zeros."""
        self.bytes[where] = bytes(len(self.bytes[where]))

    def remove(self, directory: int, entry: _Entry) -> None:
        """Take an entry out of a directory: those behind it, and the pointer at the end, move up."""
        count, end = self.number("H", directory), self.next_pointer(directory) + 4
        self.bytes[entry.at : end] = self.bytes[entry.at + 12 : end] + bytes(12)
        struct.pack_into(self.order + "H", self.bytes, directory, count - 1)


def orientation_in(exif: bytes | None) -> int | None:
    """Return the orientation that a block states, 1 (upright) to 8, or None."""
    block = _Block(exif or b"")
    entry = block.find(block.first, ORIENTATION) if block.order else None
    return entry.value if entry and 1 <= entry.value <= 8 else None


def reset_orientation(exif: bytes) -> bytes:
    """Return `exif` with the orientation set to 1 (upright) and every other byte as it was."""
    block = _Block(exif)
    if block.order:
        for entry in block.entries(block.first):
            if entry.tag == ORIENTATION:
                struct.pack_into(block.order + "H", block.bytes, entry.at + 8, 1)
    return bytes(block.bytes)


def without_thumbnail(exif: bytes) -> bytes:
    """Return `exif` without the small picture inside, which would go on showing the picture as it was."""
    block = _Block(exif)
    pointer = block.next_pointer(block.first) if block.order else 0
    second = block.start + block.number("I", pointer)
    if not block.order or second == block.start or pointer + 4 > len(exif):
        return exif
    at, size = block.find(second, _THUMBNAIL_AT), block.find(second, _THUMBNAIL_SIZE)
    struct.pack_into(block.order + "I", block.bytes, pointer, 0)
    if at and size:
        place = slice(block.start + at.value, block.start + at.value + size.value)
        block.clear(place)
        if place.stop >= len(exif) and place.start > pointer:
            del block.bytes[place]
    return bytes(block.bytes)


def without_gps(exif: bytes) -> bytes:
    """Return `exif` without the place where the picture was taken."""
    block = _Block(exif)
    entry = block.find(block.first, GPS_IFD) if block.order else None
    if entry is None:
        return exif
    directory = block.start + entry.value
    for inner in list(block.entries(directory)):
        block.clear(inner.where)
    block.clear(slice(directory, block.next_pointer(directory) + 4))
    block.remove(block.first, entry)
    return bytes(block.bytes)


def shortened(exif: bytes) -> bytes:
    """Return `exif` without maker notes and user comments, which are what makes a block large."""
    tags, kept = parsed(exif), Image.Exif()
    for tag in DESCRIPTIVE:
        if tag in tags:
            kept[tag] = text_bytes(tags[tag])
    inner = {k: v for k, v in tags.get_ifd(EXIF_IFD).items() if k not in (_MAKER_NOTE, _USER_COMMENT)}
    for tag, values in ((EXIF_IFD, inner), (GPS_IFD, dict(tags.get_ifd(GPS_IFD)))):
        if values:
            kept[tag] = values
    return kept.tobytes() if len(kept) else b""


def ready(raw: bytes | None) -> bytes | None:
    """Return a raw block as `Picture` holds it: with its prefix, upright and without thumbnail, or None."""
    if not raw or len(raw.removeprefix(PREFIX)) < 14:
        return None
    return without_thumbnail(reset_orientation(raw if raw.startswith(PREFIX) else PREFIX + raw))


def text_bytes(value: object) -> bytes:
    """Return a text tag as the bytes that the file holds, whatever their encoding.

    Pillow decodes them as Latin-1, and encodes text as ASCII, with a question mark for each other letter.
    """
    return value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")


def exif_of_tiff(image: Image.Image) -> bytes | None:
    """Return the descriptive tags of a TIFF file and its inner directories as a block."""
    tags, kept = image.getexif(), Image.Exif()
    for tag in DESCRIPTIVE:
        if tag in tags:
            kept[tag] = text_bytes(tags[tag])
    for tag in (EXIF_IFD, GPS_IFD):
        inner: dict[int, object] = tags.get_ifd(tag)
        if inner:
            kept[tag] = dict(inner)
    return kept.tobytes() if len(kept) else None


def parsed(exif: bytes | None) -> Image.Exif:
    """Return the tags of an EXIF block."""
    tags = Image.Exif()
    if exif:
        tags.load(exif)
    return tags
