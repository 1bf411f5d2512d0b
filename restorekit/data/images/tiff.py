"""TIFF files through tifffile: all that are written, and those with 16 bits that are read."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from restorekit.data.images.formats import check_pixels
from restorekit.data.images.metadata import DESCRIPTIVE, EXIF_IFD, GPS_IFD, ORIENTATION, parsed, text_bytes
from restorekit.data.images.picture import Picture, Pixels
from restorekit.errors import ImageError

_ICC = 34675
_SOFTWARE = 0x0131


def is_tiff(path: Path) -> bool:
    """Tell by the first bytes whether the file is a TIFF (6.0, section 2) or BigTIFF."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_alone(path: Path, turned: Any) -> Picture:
    """Read a TIFF of a kind that Pillow does not know at all, such as 16-bit grey with alpha."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        check_pixels(path, page.imagewidth, page.imagelength)
        tags = {tag.code: tag.value for tag in page.tags}
        dpi = page.get_resolution("INCH") if 282 in tags else None
    exif = Image.Exif()
    exif.update({tag: str(tags[tag]).encode() for tag in DESCRIPTIVE if tag in tags})
    channels = turned(read_channels(path), int(tags.get(ORIENTATION, 1)))
    return Picture.from_stored(
        channels, format="TIFF", icc=tags.get(_ICC), exif=exif.tobytes() if len(exif) else None, dpi=dpi
    )


def read_channels(path: Path) -> Pixels:
    """Return [H, W, 1 | 2 | 3 | 4] uint16. Raises `ImageError` for floats, CMYK, palettes and the like."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        kind = page.photometric.name
        if kind not in ("MINISBLACK", "MINISWHITE", "RGB") or page.dtype != np.uint16:
            raise ImageError(
                f"{path}: {kind} TIFF of {page.dtype} is not supported; save it as 8 or 16-bit grey or RGB"
            )
        try:
            channels = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            raise ImageError(
                f"{path}: 16-bit TIFF with {page.compression.name} compression needs a decoder that is not"
                " installed; run `pip install imagecodecs`, or save it without compression"
            ) from error
        extra = [int(sample) for sample in page.extrasamples]
        planar = page.planarconfig == 2  # a plane per channel
    channels = np.moveaxis(channels, 0, -1) if planar and channels.ndim == 3 else channels
    if kind == "MINISWHITE":
        channels = np.uint16(65535) - channels
    colours = 3 if kind == "RGB" else 1
    channels = channels[..., None] if channels.ndim == 2 else channels
    channels = channels[..., : colours + bool(extra)]
    return _straight(channels) if extra[:1] == [1] else channels


def _straight(channels: Pixels) -> Pixels:
    """Divide colours by alpha: TIFF's associated alpha (ExtraSamples = 1) is stored multiplied in."""
    alpha = channels[..., -1:].astype(np.float64)
    colours = channels[..., :-1] * (65535.0 / np.maximum(alpha, 1.0))
    straight = np.clip(np.rint(colours), 0, 65535).astype(np.uint16)
    return np.concatenate([straight, channels[..., -1:]], axis=2)


def write_tiff(file: BinaryIO, picture: Picture) -> None:
    """Write a TIFF (Deflate) with ICC profile, EXIF and resolution."""
    import tifffile

    tags = parsed(picture.exif)
    inner = {tag: values for tag in (EXIF_IFD, GPS_IFD) if (values := dict(tags.get_ifd(tag)))}
    texts = {tag: text_bytes(tags[tag]) for tag in DESCRIPTIVE if tag in tags}
    software = texts.pop(_SOFTWARE, False)  # tifffile takes it from here only, and else writes its own name
    extra: list[Any] = [(tag, 2, 0, text, True) for tag, text in texts.items()]
    extra += [(tag - 1, 4, 1, 0, True) for tag in inner]  # see `_append_directory`
    options: dict[str, Any] = {"resolution": picture.dpi, "resolutionunit": 2} if picture.dpi else {}
    if picture.alpha is not None:
        options["extrasamples"] = ["unassalpha"]
    tifffile.imwrite(
        file,
        picture.stored(),
        photometric="minisblack" if picture.grey else "rgb",
        planarconfig="contig" if picture.stored().ndim == 3 else None,
        compression="zlib",
        byteorder="<",
        metadata=None,
        software=software,
        iccprofile=picture.icc,
        extratags=extra,
        **options,
    )
    for tag, values in inner.items():
        _append_directory(file, tag, values)


def _append_directory(file: BinaryIO, tag: int, values: dict[int, Any]) -> None:
    """Put a directory of tags at the end of the TIFF and let the pointer `tag` show to it.

    tifffile refuses pointers: this one was reserved under the number ``tag - 1``, which nobody uses and which
    sorts to the same place.
    """
    import tifffile

    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    for key, value in values.items():
        if not isinstance(value, dict):
            directory[key] = value
    offset = file.seek(0, 2)
    offset += file.write(b"\x00" * (offset % 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of values whose type it has to guess
        file.write(directory.tobytes(offset))
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page: Any = tiff.pages[0]
        reserved = page.tags[tag - 1]
        code_at, value_at = reserved.offset, reserved.valueoffset
    file.seek(code_at)
    file.write(struct.pack("<H", tag))
    file.seek(value_at)
    file.write(struct.pack("<I", offset))
