"""Pictures of several frames: which files are, and their frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from restorekit.data.images.decoding import guarded
from restorekit.data.images.png import read_chunks
from restorekit.errors import ImageError

ANIMATIONS: dict[str, str] = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}
"""Suffixes of pictures that may hold several frames, with Pillow's name of the format."""


def is_animation(path: str | Path) -> bool:
    """Tell whether a file is an animated GIF, WebP or PNG: a picture of more than one frame."""
    path = Path(path)
    kind = ANIMATIONS.get(path.suffix.lower())
    if kind is None or not path.is_file():
        return False
    try:
        with guarded(path):
            if kind == "WEBP":
                return _says_webp_moves(path)
            if kind == "PNG":
                return _says_png_moves(path)
            with open_frames(path) as image:
                return bool(getattr(image, "is_animated", False))
    except ImageError:
        return False  # whoever reads it as a picture says what is wrong with it


@contextmanager
def open_frames(path: Path) -> Iterator[Image.Image]:
    """Give an animation, of the format that its suffix says, for `Image.seek`. Raises what Pillow does."""
    with Image.open(path, formats=(ANIMATIONS[path.suffix.lower()],)) as image:
        yield image


def _says_png_moves(path: Path) -> bool:
    control = read_chunks(path, pixels=False).first(b"acTL")
    return control is not None and int.from_bytes(control[:4], "big") > 1


def _says_webp_moves(path: Path) -> bool:
    """Read the flag of the extended header: Pillow would read the whole file for it."""
    with path.open("rb") as file:
        head = file.read(21)
    return len(head) == 21 and head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)
