"""Writing a `Picture` to a file: beside it first, then renamed, so that no half file is ever seen."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image, PngImagePlugin

from restorekit.data.images import png, tiff
from restorekit.data.images.fitting import WriteOptions, fitted
from restorekit.data.images.formats import format_of
from restorekit.data.images.picture import Picture
from restorekit.errors import ImageError
from restorekit.files import explained, write_file


def write_picture(path: str | Path, picture: Picture, options: WriteOptions | None = None) -> tuple[str, ...]:
    """Write `picture` in the format that the suffix of `path` names; return what the format could not hold.

    JPEG, lossy WebP and AVIF: quality 95, 4:4:4. WebP: lossless where the source was. TIFF and PNG: Deflate.
    16-bit pictures are rounded to 8 bits for JPEG, WebP and AVIF. The file appears complete or not at all.
    Raises `ImageError` when the format cannot hold the picture or the file cannot be written.
    """
    path, options = Path(path), options or WriteOptions()
    kind = format_of(path)
    fitting, notes = fitted(path, picture, options)
    said = list(notes)
    try:
        atomic_write(path, lambda file: _encode(file, kind, fitting, options, said))
    except ImageError:
        raise
    except Exception as error:  # encoders raise anything, too
        why = f"{type(error).__name__}: {error}"
        if fitting.exif is None:
            raise ImageError(f"{path}: cannot be written as {kind} ({why}); choose another format") from error
        said.append(f"its EXIF data were left out, because {kind} could not be written with them ({why})")
        return (*said, *write_picture(path, replace(fitting, exif=None), replace(options, note={})))
    return tuple(dict.fromkeys(said))


def losses(path: str | Path, picture: Picture, options: WriteOptions | None = None) -> tuple[str, ...]:
    """Say what `write_picture` leaves out of `picture` because the format of `path` cannot hold it.

    Raises `ImageError` when it cannot be written at all: to be asked before anything is computed.
    """
    return fitted(path, picture, options or WriteOptions())[1]


def pil_of(picture: Picture) -> Image.Image:
    """Return a Pillow image with the metadata in ``info``: L, LA, RGB or RGBA, or I;16 for 16-bit grey.

    Pillow has no other 16-bit modes: other 16-bit pictures are rounded to 8 bits.
    """
    if picture.bits == 16 and not (picture.grey and picture.alpha is None):
        picture = picture.to_8_bit()
    image = Image.fromarray(picture.stored())
    known = {"exif": picture.exif, "icc_profile": picture.icc, "dpi": picture.dpi}
    image.info.update({key: value for key, value in known.items() if value})
    return image


def atomic_write(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill the file of a picture: see `write_file`. Raises `ImageError` for what the system refuses."""
    with explained(Path(path), ImageError):
        write_file(Path(path), write)


def _encode(file: BinaryIO, kind: str, picture: Picture, options: WriteOptions, notes: list[str]) -> None:
    texts = [*picture.texts, *([("Comment", picture.comment)] if picture.comment else [])]
    packet = [(png.XMP_KEYWORD, picture.xmp.decode("utf-8", "replace"))] if picture.xmp else []
    if picture.bits == 16 and kind == "PNG":
        return png.write_16_bit(file, picture, texts + packet)
    if kind == "TIFF":
        return tiff.write_tiff(file, picture, notes)
    settings: dict[str, object] = {"exif": picture.exif or b"", "icc_profile": picture.icc}
    if picture.dpi:
        settings["dpi"] = picture.dpi
    if kind == "PNG":
        settings["pnginfo"] = _png_texts(texts + packet)
    else:
        settings |= {"xmp": picture.xmp or b""} | _quality(kind, picture, options)
    if kind == "JPEG":
        settings |= {"comment": picture.comment.encode()} | ({"extra": _app13(picture.iptc)} if picture.iptc else {})
    Image.fromarray(picture.stored()).save(file, format=kind, **settings)
    return None


def _quality(kind: str, picture: Picture, options: WriteOptions) -> dict[str, object]:
    if kind == "WEBP" and picture.lossless and options.quality is None:
        return {"lossless": True, "exact": True}
    # 95 is the highest quality that Pillow recommends; 4:4:4, because the chroma of a subsampled source would
    # otherwise be averaged a second time.
    quality: dict[str, object] = {"quality": options.quality or 95}
    return quality if kind == "WEBP" else quality | {"subsampling": "4:4:4"}


def _png_texts(texts: list[tuple[str, str]]) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts:
        info.add_itxt(keyword, text)
    return info


def _app13(iptc: bytes) -> bytes:
    """Return the JPEG segment that holds IPTC records: a resource of Photoshop, as every reader expects it."""
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
    body = b"Photoshop 3.0\0" + resource
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
