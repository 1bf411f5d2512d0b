"""The images of a benchmark: a part of a data set, read once and kept while memory allows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from restorekit.errors import DataError, ImageError
from restorekit.pixels import Pixels

if TYPE_CHECKING:
    from restorekit.data.sets import ImageSet, RawSample


CACHE_BYTES = 512 * 2**20
_PART = re.compile(r"\((\d+)/(\d+)\)$")


def partial_label(label: str, used: int, available: int) -> str:
    """Return the label of a part of a set: ``rain100l@test`` -> ``rain100l@test(19/50)``.

    A set that is itself a part, ``(50/100)``, keeps its own total: ``(19/100)``.
    """
    if used == available:
        return label
    part = _PART.search(label)
    total = int(part[2]) if part else available
    return f"{_PART.sub('', label)}({used}/{total})"


def slug(label: str) -> str:
    """Return `label` as a part of a file name."""
    return re.sub(r"[^\w.@-]+", "-", label).strip("-") or "set"


class Samples:
    """Some images of an `ImageSet`, by position; `label` and `total` say which part of it they are."""

    def __init__(self, image_set: ImageSet, positions: Sequence[int] | None = None) -> None:
        if len(image_set) == 0:
            raise DataError(f"data set {image_set.label!r} has no images; check it with `restorekit data check`")
        self._set = image_set
        self._positions = list(range(len(image_set))) if positions is None else list(positions)
        self._kept: dict[int, RawSample] = {}
        self._bytes = 0
        self.task = image_set.task or ""
        self.paired = bool(image_set.paired)
        self.fingerprint = str(image_set.fingerprint)
        self.base_label = str(image_set.label)
        self.is_builtin = bool(image_set.is_builtin)
        self.total = len(image_set)
        self.label = partial_label(self.base_label, len(self._positions), self.total)
        self.names = [str(image_set.names[p]) for p in self._positions]

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[RawSample]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> RawSample:
        """Return one sample. Raises `ImageError` when it cannot be read."""
        if index in self._kept:
            return self._kept[index]
        sample = self._set.read(self._positions[index])
        size = sample.degraded.nbytes + (0 if sample.clean is None else sample.clean.nbytes)
        if self._bytes + size <= CACHE_BYTES:
            self._kept[index] = sample
            self._bytes += size
        return sample

    def as_set(self) -> ImageSet:
        """Return these images as a set of their own."""
        return self._set.subset(self._positions)

    def named(self, name: str) -> RawSample:
        """Return the sample called `name`."""
        return self[self.names.index(name)]

    def typical(self) -> RawSample:
        """Return the first sample that has the most common size, the one that cost is measured at."""
        sizes = [sample.degraded.shape for sample in self]
        common = Counter(sizes).most_common(1)[0][0]
        return self[sizes.index(common)]


def first_positions(image_set: ImageSet, limit: int | None) -> list[int]:
    """Return the positions of the first `limit` images, or of all. Raises `DataError` for a limit below 1."""
    if limit is not None and limit < 1:
        raise DataError(f"limit {limit} leaves no images; give 1 or more")
    return list(range(len(image_set)))[:limit]


def write_png(path: Path, pixels: Pixels) -> None:
    """Write an 8-bit image [H, W, 3], making its folder. Raises `ImageError` when it cannot be written."""
    from restorekit.data.images import Picture, write_picture

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"folder {path.parent} cannot be made: {error}; choose another -o") from error
    write_picture(path, Picture(pixels))


def read_pixels(path: Path) -> Pixels:
    """Read an image as 8-bit RGB [H, W, 3], 16 bit rounded. Raises `ImageError` when it cannot be read."""
    from restorekit.data.images import read_picture

    pixels: Pixels = read_picture(path).to_8_bit().pixels
    return pixels
