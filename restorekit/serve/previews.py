"""What browsers show of a picture: a JPEG of at most 4096 pixels, whatever the file is."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from restorekit.data.images import Picture
from restorekit.pixels import Whole, pixels_of, planes_of

LONGEST_SIDE = 4096
THUMBNAIL = 240


def write_preview(picture: Picture, path: Path, longest: int = LONGEST_SIDE, quality: int = 90) -> None:
    """Write a picture as JPEG, on white where it is transparent, with its colour profile."""
    image = Image.fromarray(_opaque(picture.to_8_bit()))
    image.thumbnail((longest, longest), Image.Resampling.BOX, reducing_gap=2.0)
    image.save(path, "JPEG", quality=quality, icc_profile=picture.icc if not picture.grey else None)


def _opaque(picture: Picture) -> Whole:
    """Return 8-bit pixels on white."""
    if picture.alpha is None:
        return picture.pixels
    alpha, planes = planes_of(picture.alpha[..., None]), planes_of(picture.pixels)
    return pixels_of(planes * alpha + (1 - alpha))
