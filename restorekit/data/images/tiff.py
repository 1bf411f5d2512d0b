"""TIFF files through tifffile: all that are written, and those that Pillow does not read in full."""

from __future__ import annotations

import math
import re
import struct
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin

from restorekit.data.images.decoding import listening, side_data
from restorekit.data.images.exif import DESCRIPTIVE, EXIF_IFD, GPS_IFD, ORIENTATION, parsed, text_bytes
from restorekit.data.images.formats import check_pixels
from restorekit.data.images.picture import Picture, Pixels
from restorekit.errors import ImageError

if TYPE_CHECKING:
    from tifffile import TiffPage

_BITS, _DESCRIPTION, _SAMPLES, _DEPTH = 258, 270, 277, 32997
_PHOTOMETRIC, _GREY = 262, (0, 1)
_ICC, _XMP, _IPTC = 34675, 700, 33723
_SOFTWARE = 0x0131
_ASSOCIATED, _UNASSOCIATED = 1, 2  # kinds of extra samples that are transparency
_STACK = re.compile(r"^(?:ImageJ=.*?\bimages=|SCIFIO=.*?\bimages=)(\d+)", re.DOTALL)
_SHAPED = re.compile(r"^\{\"shape\": \[([\d, ]+)\]")


def is_deep(image: Image.Image) -> bool:
    """Tell whether an opened TIFF has more than 8 bits per channel."""
    return image.format == "TIFF" and bool(max(_tags(image).get(_BITS, (1,))) > 8)


def orientation_of(image: Image.Image) -> int:
    """Return the orientation that an opened TIFF states, 1 to 8; 1 for values that the standard does not know."""
    value = _tags(image).get(ORIENTATION, 1)
    return int(value) if value in range(1, 9) else 1


def refuse_volumes(image: Image.Image, pages: int) -> None:
    """Raise `ImageError` for an opened TIFF that holds a stack of planes in place of a picture."""
    tags = _tags(image)
    planes, samples = int(tags.get(_DEPTH, 1)), int(tags.get(_SAMPLES, 1))
    if tags.get(_PHOTOMETRIC) in _GREY and samples > 2:
        planes = samples
    if pages == 1:
        numbers = math.prod(image.size) * samples
        planes = max(planes, planes_said(tags.get(_DESCRIPTION, ""), numbers))
    if planes > 1:
        raise _volume(planes)


def _volume(planes: int) -> ImageError:
    return ImageError(f"a TIFF volume of {planes} planes, not a picture; save the plane that you mean as grey or RGB")


def planes_said(description: object, numbers: int) -> int:
    """Return how many planes lie behind one directory by the description that ImageJ and tifffile write; else 1.

    `numbers`: how many a plane has, all of its channels together.
    """
    text = description.decode("latin-1") if isinstance(description, bytes) else str(description)
    if stack := _STACK.match(text):
        return int(stack[1])
    shape = [int(size) for size in found[1].split(",") if size.strip()] if (found := _SHAPED.match(text)) else []
    return max(1, math.prod(shape) // max(numbers, 1)) if shape else 1


def _tags(image: Image.Image) -> TiffImagePlugin.ImageFileDirectory_v2:
    tags: TiffImagePlugin.ImageFileDirectory_v2 = image.tag_v2  # type: ignore[attr-defined]
    return tags


def upright_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of a TIFF of a kind that Pillow does not know, turned upright."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        turn = page.tags.get(ORIENTATION)
        size = int(page.imagelength), int(page.imagewidth)
        check_pixels(path, *size)
        return size[::-1] if turn is not None and turn.value in (5, 6, 7, 8) else size


def read_alone(path: Path, notes: list[str]) -> Picture:
    """Read a TIFF of a kind that Pillow does not know at all, such as 16-bit grey with alpha."""
    import tifffile

    from restorekit.data.images.reading import turned

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        check_pixels(path, page.imagewidth, page.imagelength)
        tags = {tag.code: tag.value for tag in page.tags}
        dpi = side_data("resolution", lambda: page.get_resolution("INCH") if 282 in tags else None, None, notes)
        if len(file.pages) > 1:
            notes.append(f"only the first of its {len(file.pages)} frames was read")
    exif = Image.Exif()
    exif.update({tag: str(tags[tag]).encode() for tag in DESCRIPTIVE if tag in tags})
    orientation = tags.get(ORIENTATION, 1)
    channels = turned(read_channels(path, notes), orientation if orientation in range(1, 9) else 1)
    block = side_data("EXIF", lambda: exif.tobytes() if len(exif) else None, None, notes)
    return Picture.from_stored(channels, format="TIFF", icc=tags.get(_ICC), exif=block, dpi=dpi)


def read_channels(path: Path, notes: list[str]) -> Pixels:
    """Return [H, W, 1 | 2 | 3 | 4] uint8 or uint16. Raises `ImageError` for floats, CMYK, volumes and the like."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        kind = str(getattr(page.photometric, "name", page.photometric))  # a number where the standard has no name
        colours, extra = _check_kind(page, kind)
        _check_segments(page, path.stat().st_size)
        channels: Pixels = page.asarray()
        planar = page.planarconfig == 2  # a plane per channel
    channels = np.moveaxis(channels, 0, -1) if planar and channels.ndim == 3 else channels
    if kind == "MINISWHITE":
        channels = np.iinfo(channels.dtype).max - channels
    channels = channels[..., None] if channels.ndim == 2 else channels
    alpha = next((place for place, sample in enumerate(extra) if sample in (_ASSOCIATED, _UNASSOCIATED)), None)
    if len(extra) > (alpha is not None):
        notes.append(f"{len(extra) - (alpha is not None)} further channel(s) beside its colours were left out")
    if alpha is None:
        return channels[..., :colours]
    channels = channels[..., [*range(colours), colours + alpha]]
    return _straight(channels) if extra[alpha] == _ASSOCIATED else channels


def _check_kind(page: TiffPage, kind: str) -> tuple[int, list[int]]:
    """Return how many colours there are and the kinds of the samples beside them. Raises `ImageError` for others."""
    if kind not in ("MINISBLACK", "MINISWHITE", "RGB") or page.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{kind} TIFF of {page.dtype} is not supported; save it as 8 or 16-bit grey or RGB")
    colours = 3 if kind == "RGB" else 1
    extra = [int(sample) for sample in page.extrasamples]
    samples = int(page.samplesperpixel)
    planes = int(page.imagedepth)
    if len(page.parent.pages) == 1:
        planes = max(planes, planes_said(page.description, page.imagewidth * page.imagelength * samples))
    if planes > 1:
        raise _volume(planes)
    if samples < colours or (colours == 1 and len(extra) > 1):
        raise _volume(samples)
    return colours, extra[: samples - colours] + [0] * (samples - colours - len(extra))


def _check_segments(page: TiffPage, size: int) -> None:
    """Raise `ImageError` when pixels lie not in the file: tifffile would fill them with zeros."""
    ends = [at + count for at, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if not ends or max(ends) > size or min(page.databytecounts) <= 0:
        raise ImageError("truncated or damaged: a part of its pixels is not in the file; copy or download it again")


def _straight(channels: Pixels) -> Pixels:
    """Divide colours by alpha: TIFF's associated alpha (ExtraSamples = 1) is stored multiplied in."""
    top = float(np.iinfo(channels.dtype).max)
    alpha = channels[..., -1:].astype(np.float64)
    colours = channels[..., :-1] * (top / np.maximum(alpha, 1.0))
    straight = np.clip(np.rint(colours), 0, top).astype(channels.dtype)
    return np.concatenate([straight, channels[..., -1:]], axis=2)


def write_tiff(file: BinaryIO, picture: Picture, notes: list[str]) -> None:
    """Write a TIFF (Deflate) with ICC profile, EXIF, XMP, IPTC and resolution; `notes` gets what could not be kept."""
    import tifffile

    tags = side_data("EXIF", lambda: parsed(picture.exif), Image.Exif(), notes)
    inner = {tag: block for tag in (EXIF_IFD, GPS_IFD) if (block := _directory(tags, tag, notes))}
    texts = {tag: text_bytes(tags[tag]) for tag in DESCRIPTIVE if tag in tags}
    software = texts.pop(_SOFTWARE, False)  # tifffile takes it from here only, and else writes its own name
    if picture.comment:
        texts.setdefault(_DESCRIPTION, picture.comment.encode("utf-8", "surrogateescape"))
    extra: list[tuple[int, int, int, object, bool]] = [(tag, 2, 0, text, True) for tag, text in texts.items()]
    blocks = ((_XMP, 1, picture.xmp), (_IPTC, 7, picture.iptc))
    extra += [(tag, kind, len(block), block, True) for tag, kind, block in blocks if block]
    extra += [(tag - 1, 4, 1, 0, True) for tag in inner]  # see `_append_directory`
    channels = picture.stored()
    tifffile.imwrite(
        file,
        channels,
        photometric="minisblack" if picture.grey else "rgb",
        planarconfig="contig" if channels.ndim == 3 else None,
        compression="zlib",
        byteorder="<",
        metadata=None,
        software=software,
        iccprofile=picture.icc,
        extratags=extra,
        resolution=picture.dpi,
        resolutionunit=2 if picture.dpi else None,
        extrasamples=None if picture.alpha is None else ["unassalpha"],
    )
    for tag, directory in inner.items():
        _append_directory(file, tag, directory)


def _directory(tags: Image.Exif, tag: int, notes: list[str]) -> dict[int, object]:
    """Return the entries of an inner directory that can be written, each tried on its own."""
    values: dict[int, object] = side_data("EXIF", lambda: dict(tags.get_ifd(tag)), {}, notes)
    kept = {}
    for key, value in values.items():
        if not isinstance(value, dict) and side_data(
            f"EXIF tag {key:#06x}", partial(_packed, {key: value}, 0), b"", notes
        ):
            kept[key] = value
    return kept


def _packed(values: dict[int, object], offset: int) -> bytes:
    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    for key, value in values.items():
        directory[key] = value
    with listening():  # Pillow warns of values whose type it has to guess
        return bytes(directory.tobytes(offset))


def _append_directory(file: BinaryIO, tag: int, values: dict[int, object]) -> None:
    """Put a directory of tags at the end of the TIFF and let the pointer `tag` show to it.

    tifffile refuses pointers: this one was reserved under the number ``tag - 1``, which nobody uses and which
    sorts to the same place.
    """
    import tifffile

    offset = file.seek(0, 2)
    offset += file.write(b"\x00" * (offset % 2))
    file.write(_packed(values, offset))
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        reserved = page.tags[tag - 1]
        code_at, value_at = reserved.offset, reserved.valueoffset
    file.seek(code_at)
    file.write(struct.pack("<H", tag))
    file.seek(value_at)
    file.write(struct.pack("<I", offset))
