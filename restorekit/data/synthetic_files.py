"""Synthetic pairs as files: for other programs, for a fixed validation set, for methods that learn from files."""

from __future__ import annotations

import glob
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from restorekit.data.crops import resized
from restorekit.data.images.writing import atomic_write
from restorekit.data.imageset import ImageSet, RawSample
from restorekit.data.synthesis import check_preset
from restorekit.data.synthesis.render import render
from restorekit.errors import DataError
from restorekit.files import explained, make_folder
from restorekit.leftovers import held, remove_stale_folders
from restorekit.pixels import Pixels

FOLDERS = ("degraded", "clean", "mask")
_KEYS = 1_000_003  # keys of one seed lie apart from those of the next


def write_pairs(
    sets: Sequence[ImageSet], target: Path, task: str, preset: str | None = None, seed: int = 0, resize: int = 0
) -> Iterator[str]:
    """Degrade each image and write PNG files into `target`: ``degraded``, ``clean`` and, where there is one, ``mask``.

    `task` names the synthesizer. The clean image of a pair is taken, or else the image itself. `resize`: scale its
    shorter side to so many pixels first (0: not). Yields each name; `target` is there when the last one was written,
    and not at all before.
    What is added to an image depends on its place and `seed`. Raises `DataError` when `target` exists,
    `UnknownNameError` for an unknown synthesizer or preset, `ImageError` for a file that cannot be read or written.
    """
    check_preset(task, preset)
    with _appearing(target) as folder:
        for place, sample in enumerate(_samples(sets)):
            clean = sample.degraded if sample.clean is None else sample.clean
            clean = resized(clean, resize) if resize else clean
            degraded, mask = render(clean, seed * _KEYS + place, task, preset)
            planes = (degraded, clean, None if mask is None else mask * 255)
            for kind, pixels in zip(FOLDERS, planes, strict=True):
                if pixels is not None:
                    _write(folder / kind / f"{sample.name}.png", pixels)
            yield sample.name


def _samples(sets: Sequence[ImageSet]) -> Iterator[RawSample]:
    for number, images in enumerate(sets):
        for sample in images:
            name = sample.name if len(sets) == 1 else f"{number}-{sample.name}"
            yield RawSample(name, sample.degraded, sample.clean)


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """Give a folder beside `target` that gets its name at the end, or vanishes when something goes wrong.

    What a killed process left of the same target is removed.
    """
    if target.exists() or target.is_symlink():
        raise DataError(f"{target} exists; name a new folder, so that no file is overwritten or mixed in")
    remove_stale_folders(target.parent, f".{glob.escape(target.name)}.{'[0-9a-f]' * 8}.part")
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    make_folder(beside)
    try:
        with explained(target):
            with held(beside):
                yield beside
            beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write(path: Path, pixels: Pixels) -> None:
    make_folder(path.parent)
    atomic_write(path, lambda file: Image.fromarray(pixels).save(file, "PNG"))
