"""Kinds of files that need a package of an extra: HEIC and JPEG XL."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from restorekit.data.images.formats import check_pixels
from restorekit.data.images.picture import Picture
from restorekit.errors import ImageError
from restorekit.pixels import Whole

_HEIF_BRANDS = frozenset([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"])
_AVIF_BRANDS = frozenset([b"avif", b"avis"])


def kind_of(head: bytes) -> str:
    """Tell by the first 64 bytes of a file what reads it: ``PNG``, ``TIFF``, ``HEIF`` or ``JXL``; else empty.

    HEIF: ISO/IEC 23008-12, section 10.2; JPEG XL: ISO/IEC 18181-2, section 4.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")):
        return "JXL"
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}
        return "HEIF" if brands & _HEIF_BRANDS and not brands & _AVIF_BRANDS else ""
    return ""


@cache
def register_heif() -> None:
    """Let Pillow open HEIC files. Raises `ImageError` when pillow-heif is not installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise ImageError("HEIC files need pillow-heif; run `pip install 'restorekit[heif]'`") from error
    register_heif_opener()


def read_jxl(path: Path) -> Picture:
    """Read a JPEG XL file, turned upright. Raises `ImageError` when imagecodecs is not installed."""
    try:
        import imagecodecs
    except ImportError as error:
        raise ImageError("JPEG XL files need imagecodecs; run `pip install 'restorekit[jxl]'`") from error
    channels: Whole = imagecodecs.jpegxl_decode(path.read_bytes())
    if channels.ndim not in (2, 3) or channels.dtype.name not in ("uint8", "uint16"):
        raise ImageError(f"JPEG XL of {channels.dtype} {channels.shape} is not supported; save it with 8 or 16 bits")
    check_pixels(path, channels.shape[1], channels.shape[0])
    note = "its metadata were left out: they are not read from JPEG XL"
    return Picture.from_stored(channels, lossless=False, notes=(note,))
