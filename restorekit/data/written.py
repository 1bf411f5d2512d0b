"""Synthetic pairs as files: for other programs, for a fixed validation set, for methods that learn from files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from restorekit.data.images.writing import atomic_write
from restorekit.data.imageset import ImageSet
from restorekit.data.synthesis import check_preset
from restorekit.data.synthesis.render import Pixels, render
from restorekit.errors import DataError

FOLDERS = ("degraded", "clean", "mask")
_KEYS = 1_000_003  # keys of one seed lie apart from those of the next


def write_pairs(images: ImageSet, target: Path, task: str, preset: str | None = None, seed: int = 0) -> Iterator[str]:
    """Degrade each image and write PNG files into `target`: ``degraded``, ``clean`` and ``mask``, under its name.

    The clean image of a pair is taken, or else the image itself. Yields each name once its three files are
    there. Image i depends on the picture, its place and `seed` alone. Raises `DataError` when `target` has files,
    `UnknownNameError` for an unknown task or preset.
    """
    check_preset(task, preset)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target} is not an empty folder; name a new one, so that no file is overwritten or mixed in")
    for index in range(len(images)):
        sample = images.read(index)
        clean = sample.degraded if sample.clean is None else sample.clean
        degraded, mask = render(clean, seed * _KEYS + index, task, preset)
        for folder, pixels in zip(FOLDERS, (degraded, clean, mask * 255), strict=True):
            _write(target / folder / f"{sample.name}.png", pixels)
        yield sample.name


def _write(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, lambda file: Image.fromarray(pixels).save(file, "PNG"))
