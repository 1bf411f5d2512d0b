"""Image files in and out: JPEG, PNG, WebP and TIFF, 8 and 16 bit, with everything a photograph carries.

What is kept from reading to writing: EXIF (with the orientation applied to the pixels and reset in the tag),
the ICC profile, resolution, transparency, bit depth and greyness. What is not: the palette of a palette
image and the inks of a CMYK image (both are written as RGB), frames and pages after the first, and XMP.
`Picture.notes` says so wherever it happened.
"""

from restorekit.data.images.formats import (
    FORMATS,
    MAX_PIXELS_VARIABLE,
    SUFFIXES,
    format_of,
    is_image_name,
    max_pixels,
)
from restorekit.data.images.picture import Picture
from restorekit.data.images.reading import picture_of, read_picture
from restorekit.data.images.writing import atomic_write, pil_of, write_picture

__all__ = [
    "FORMATS",
    "MAX_PIXELS_VARIABLE",
    "SUFFIXES",
    "Picture",
    "atomic_write",
    "format_of",
    "is_image_name",
    "max_pixels",
    "picture_of",
    "pil_of",
    "read_picture",
    "write_picture",
]
