"""Image files in and out, with everything a photograph carries. The one place that reads pictures.

Read: JPEG, PNG, WebP, TIFF, AVIF, BMP, GIF, JPEG 2000, PPM and what else `formats` lists, HEIC and JPEG XL with an
extra; 8 and 16 bits. Written: JPEG, PNG, WebP, TIFF and AVIF. What is kept from reading to writing: EXIF, XMP, IPTC
and comments (the orientation applied to the pixels and reset), the ICC profile, resolution, transparency, bit depth and
greyness. What is not: the palette of a palette image and the inks of a CMYK image (both are written as RGB), and frames
and pages after the first. `Picture.notes` says so wherever it happened.

The names are imported on first use, so that a listing of suffixes loads neither Pillow nor numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restorekit.data.images.colour import to_srgb
    from restorekit.data.images.fitting import WriteOptions
    from restorekit.data.images.formats import (
        FORMATS,
        MAX_PIXELS_VARIABLE,
        READABLE,
        SUFFIXES,
        format_of,
        is_image_name,
        max_pixels,
    )
    from restorekit.data.images.picture import Picture
    from restorekit.data.images.reading import Header, picture_of, read_header, read_picture
    from restorekit.data.images.writing import atomic_write, pil_of, write_picture

__all__ = [
    "FORMATS",
    "MAX_PIXELS_VARIABLE",
    "READABLE",
    "SUFFIXES",
    "Header",
    "Picture",
    "WriteOptions",
    "atomic_write",
    "format_of",
    "is_image_name",
    "max_pixels",
    "picture_of",
    "pil_of",
    "read_header",
    "read_picture",
    "to_srgb",
    "write_picture",
]

_ROOMS = {
    "colour": ("to_srgb",),
    "picture": ("Picture",),
    "reading": ("Header", "picture_of", "read_header", "read_picture"),
    "fitting": ("WriteOptions",),
    "writing": ("atomic_write", "pil_of", "write_picture"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM_OF.get(name, 'formats')}"), name)
