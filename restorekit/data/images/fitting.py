"""Making a picture one that a format can hold, before anything is computed for it, and saying what is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from restorekit.data.images import exif, xmp
from restorekit.data.images.decoding import side_data
from restorekit.data.images.formats import format_of
from restorekit.data.images.picture import Picture
from restorekit.errors import ImageError

Metadata = Literal["keep", "none", "no-gps"]

_EIGHT_BITS = ("JPEG", "WEBP", "AVIF")
_MOST_PIXELS = {"JPEG": 65535, "WEBP": 16383, "AVIF": 65535}  # of a side
_SEGMENT = 65533  # bytes of one JPEG segment
_HOLD_IPTC = ("JPEG", "TIFF")
_HOLD_COMMENT = ("JPEG", "PNG", "TIFF")
_HOLD_RESOLUTION = ("JPEG", "PNG", "TIFF")
_XMP_NAME, _IPTC_NAME = 29, 28  # bytes of the names in front of the data in a JPEG segment


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """How pictures are written. Raises `ImageError` for a quality that is not allowed."""

    quality: int | None = None
    """Of JPEG, WebP and AVIF, 1 to 100; None for 95, and lossless WebP where the source was."""
    metadata: Metadata = "keep"
    """``keep`` all, keep it without the place (``no-gps``), or ``none``.

    The colour profile and the resolution stay, for they say how the pixels look.
    """
    note: Mapping[str, str] = field(default_factory=dict)
    """What was done, by name, into XMP; nothing when empty."""

    def __post_init__(self) -> None:
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ImageError(f"quality is {self.quality}; give a whole number from 1 (smallest) to 100 (best)")


def fitted(path: str | Path, picture: Picture, options: WriteOptions) -> tuple[Picture, tuple[str, ...]]:
    """Return the picture as the format that the suffix of `path` names can hold it, and what is lost by that.

    Raises `ImageError` when it cannot be held: transparency in JPEG, too many pixels.
    """
    kind, notes = format_of(path), list[str]()
    most = _MOST_PIXELS.get(kind, 2**31 - 1)
    if max(picture.width, picture.height) > most:
        size = f"{picture.width} x {picture.height}"
        raise ImageError(
            f"{path}: {kind} holds at most {most} pixels a side, the picture has {size}; write PNG or TIFF"
        )
    picture = _pixels(path, kind, picture, notes)
    picture = _chosen(picture, options.metadata, notes)
    if options.note:
        picture = _noted(picture, options.note, notes)
    picture = _without_unheld(kind, picture, notes)
    return (_segments(picture, notes) if kind == "JPEG" else picture), tuple(notes)


def _pixels(path: str | Path, kind: str, picture: Picture, notes: list[str]) -> Picture:
    if kind == "JPEG" and picture.alpha is not None:
        if int(picture.alpha.min()) < (1 << picture.bits) - 1:
            raise ImageError(
                f"{path}: JPEG has no transparency, the picture has; write PNG, WebP, AVIF or TIFF (--format png)"
            )
        picture = replace(picture, alpha=None)  # fully opaque: nothing is lost
    if picture.bits == 16 and kind in _EIGHT_BITS:
        notes.append(f"its 16 bits were rounded to 8, because {kind} holds no more")
        picture = picture.to_8_bit()
    return picture


def _chosen(picture: Picture, metadata: Metadata, notes: list[str]) -> Picture:
    """Take out the metadata that are not wanted."""
    if metadata == "none":
        return replace(picture, exif=None, xmp=None, iptc=None, comment="", texts=())
    if metadata == "keep":
        return picture
    packet = picture.xmp and xmp.without_gps(picture.xmp)
    if picture.xmp and packet is None:
        notes.append("its XMP was left out, as the place could not be taken out of it")
    block = side_data("EXIF", lambda: picture.exif and exif.without_gps(picture.exif), None, notes)
    return replace(picture, exif=block or None, xmp=packet or None)


def _noted(picture: Picture, note: Mapping[str, str], notes: list[str]) -> Picture:
    packet = xmp.with_note(picture.xmp, note)
    if packet is None:
        notes.append("the processing note was left out, as its XMP has no place for it")
        return picture
    return replace(picture, xmp=packet)


def _without_unheld(kind: str, picture: Picture, notes: list[str]) -> Picture:
    """Leave out what the format has no place for, and say so."""
    if picture.iptc and kind not in _HOLD_IPTC:
        notes.append(f"its IPTC data were left out, because {kind} has no place for them")
        picture = replace(picture, iptc=None)
    if picture.comment and kind not in _HOLD_COMMENT:
        notes.append(f"its comment was left out, because {kind} has no place for it")
        picture = replace(picture, comment="")
    if picture.texts and kind != "PNG":
        names = ", ".join(keyword for keyword, _ in picture.texts)
        notes.append(f"its texts ({names}) were left out, because {kind} has no place for them")
        picture = replace(picture, texts=())
    if picture.dpi and kind not in _HOLD_RESOLUTION:
        notes.append(f"its resolution ({picture.dpi[0]:g} dpi) was left out, because {kind} has no place for it")
        picture = replace(picture, dpi=None)
    return picture


def _segments(picture: Picture, notes: list[str]) -> Picture:
    """Shorten or leave out what is too long for a segment of a JPEG."""
    block = picture.exif
    if block and len(block) > _SEGMENT:
        found = block
        block = side_data("EXIF", lambda: exif.shortened(found), None, notes)
        block = block if block and len(block) <= _SEGMENT else None
        what = "its maker notes and user comments were" if block else "it was"
        notes.append(f"its EXIF data ({len(found)} bytes) are too long for a JPEG: {what} left out")
    picture = replace(picture, exif=block)
    if picture.xmp and len(picture.xmp) > _SEGMENT - _XMP_NAME:
        notes.append(f"its XMP ({len(picture.xmp)} bytes) is too long for a JPEG and was left out")
        picture = replace(picture, xmp=None)
    if picture.iptc and len(picture.iptc) > _SEGMENT - _IPTC_NAME:
        notes.append(f"its IPTC data ({len(picture.iptc)} bytes) are too long for a JPEG and were left out")
        picture = replace(picture, iptc=None)
    if len(picture.comment.encode()) > _SEGMENT:
        notes.append("its comment is too long for a JPEG and was left out")
        picture = replace(picture, comment="")
    return picture
