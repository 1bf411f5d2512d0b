"""What a file carries beside its pixels, each part on its own: a damaged one is left out with a note."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import partial

from PIL import Image

from restorekit.data.images import exif, png, xmp
from restorekit.data.images.decoding import side_data
from restorekit.data.images.picture import Picture

_IPTC_IN_PHOTOSHOP, _IPTC_IN_TIFF, _XMP_IN_TIFF = 0x0404, 33723, 700
_TURNED_BY_DECODER = ("TIFF", "HEIF")
_RAW_EXIF = ("Raw profile type exif", "Raw profile type APP1")


@dataclass(frozen=True)
class SideData:
    """EXIF (as `exif.ready` gives it), ICC profile, XMP, IPTC records, comment, texts and resolution of one file.

    `orientation`: how the stored pixels are to be turned, 1 for not at all.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    comment: str = ""
    texts: tuple[tuple[str, str], ...] = ()
    dpi: tuple[float, float] | None = None
    orientation: int = 1

    def onto(self, picture: Picture) -> Picture:
        """Return the picture with the metadata; its own profile stays away when its colours were converted."""
        return replace(
            picture,
            exif=self.exif,
            xmp=self.xmp,
            iptc=self.iptc,
            comment=self.comment,
            texts=self.texts,
            dpi=self.dpi,
        )


def of_image(image: Image.Image, notes: list[str]) -> SideData:
    """Return what Pillow found beside the pixels of an opened image."""
    packet = _bytes(image.info.get("xmp"))
    raw = _bytes(image.info.get("exif"))
    turn = exif.orientation_in(raw) or (None if image.format == "AVIF" else xmp.orientation_in(packet))
    if image.format == "TIFF":
        block = side_data("EXIF", lambda: exif.exif_of_tiff(image), None, notes)
    else:
        block = side_data("EXIF", lambda: exif.ready(raw), None, notes)
    return SideData(
        exif=block,
        icc=_bytes(image.info.get("icc_profile")),
        xmp=packet and xmp.reset_orientation(packet),
        iptc=side_data("IPTC", lambda: _iptc(image), None, notes),
        comment=_text(image.info.get("comment")),
        dpi=side_data("resolution", lambda: _dpi(image), None, notes),
        orientation=1 if image.format in _TURNED_BY_DECODER else turn or 1,
    )


def of_chunks(chunks: png.Chunks, notes: list[str]) -> SideData:
    """Return what the side chunks of a PNG hold."""
    texts: dict[str, bytes] = {}
    for kind, data in chunks.side:
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, text = side_data("text", partial(png.text_of, kind, data), ("", b""), notes)
            texts.setdefault(keyword, text)
    texts.pop("", None)
    packet = texts.pop(png.XMP_KEYWORD, None)
    raw = chunks.first(b"eXIf") or _first(texts, notes)
    turn = exif.orientation_in(raw) or xmp.orientation_in(packet)
    profile = chunks.first(b"iCCP")
    return SideData(
        exif=side_data("EXIF", lambda: exif.ready(raw), None, notes),
        icc=side_data("colour profile", lambda: profile and png.profile_of(profile), None, notes),
        xmp=packet and xmp.reset_orientation(packet),
        comment=texts.pop("Comment", b"").decode("utf-8", "replace"),
        texts=tuple((keyword, text.decode("utf-8", "replace")) for keyword, text in texts.items()),
        dpi=_per_inch(chunks.first(b"pHYs")),
        orientation=turn or 1,
    )


def _first(texts: dict[str, bytes], notes: list[str]) -> bytes | None:
    """Return EXIF that some programs store in a PNG as hexadecimal text: name, length and digits, in lines."""
    found = [texts.pop(name) for name in _RAW_EXIF if name in texts]
    if not found:
        return None
    return side_data("EXIF", lambda: bytes.fromhex("".join(found[0].decode("ascii").split("\n")[3:])), None, notes)


def _iptc(image: Image.Image) -> bytes | None:
    if image.format == "TIFF":
        value: object = image.tag_v2.get(_IPTC_IN_TIFF)  # type: ignore[attr-defined]
        return struct.pack(f"<{len(value)}I", *value) if isinstance(value, tuple) else _bytes(value)
    resources = image.info.get("photoshop")
    return _bytes(resources.get(_IPTC_IN_PHOTOSHOP)) if isinstance(resources, dict) else None


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    value = image.info.get("dpi")
    if not value or not all(0 < float(part) < 1e6 for part in value):
        return None
    return float(value[0]), float(value[1])


def _per_inch(data: bytes | None) -> tuple[float, float] | None:
    """Return the resolution of a ``pHYs`` chunk, when it is in metres."""
    if data is None or len(data) != 9 or data[8] != 1:
        return None
    across, down = struct.unpack(">II", data[:8])
    return (across * 0.0254, down * 0.0254) if across and down else None


def _bytes(value: object) -> bytes | None:
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    return bytes(value) if isinstance(value, (bytes, bytearray)) and value else None


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
