"""Colours of other kinds and with other profiles, to sRGB."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image, ImageCms

from restorekit.data.images.picture import Picture

CONVERTED = ("CMYK", "LAB", "YCbCr", "HSV")
"""Pillow's modes that become RGB, and leave their profile behind."""


def rgb_of(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert to sRGB through the profile where there is a usable one, else by Pillow's plain formula."""
    if icc and image.mode == "CMYK":
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):  # a damaged or unfitting profile: the plain formula follows
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def to_srgb(picture: Picture) -> Picture:
    """Return the picture in sRGB and without its ICC profile; one without a profile is taken for sRGB.

    Converting has 8 bits: a deeper picture is rounded, with a note. A profile that does not fit is left as it is, with
    a note.
    """
    if picture.icc is None:
        return picture
    notes = picture.notes
    if picture.bits == 16:
        notes = (*notes, "its 16 bits were rounded to 8 to convert it to sRGB")
    shallow = picture.to_8_bit()
    mode = "L" if picture.grey else "RGB"
    plain = Image.fromarray(np.ascontiguousarray(shallow.pixels[..., 0] if picture.grey else shallow.pixels))
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(picture.icc))
        converted = ImageCms.profileToProfile(plain, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        note = f"it was not converted to sRGB: its profile does not fit {mode} pixels ({error})"
        return replace(picture, notes=(*picture.notes, note))
    assert converted is not None
    return replace(shallow, pixels=np.array(converted), icc=None, notes=notes)
