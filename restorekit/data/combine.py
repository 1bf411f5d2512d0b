"""Joining image sets, and holding some images out for validation."""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from restorekit.data.imageset import ImageSet, RawSample
from restorekit.errors import DataError


@dataclass(frozen=True)
class _Joined:
    readers: tuple[Callable[[int], RawSample], ...]
    ends: tuple[int, ...]
    names: tuple[str, ...]

    def __call__(self, index: int) -> RawSample:
        part = bisect.bisect_right(self.ends, index)
        sample = self.readers[part](index - (self.ends[part - 1] if part else 0))
        return replace(sample, name=self.names[index])


def join(sets: Sequence[ImageSet]) -> ImageSet:
    """Return several sets as one. Raises `DataError` when only some of them are paired."""
    if len(sets) == 1:
        return sets[0]
    if len({item.paired for item in sets}) > 1:
        kinds = ", ".join(f"{s.label} ({'paired' if s.paired else 'without clean images'})" for s in sets)
        raise DataError(f"paired and unpaired sets cannot be trained on together: {kinds}; leave one kind out")
    names = tuple(f"{i}-{name}" for i, item in enumerate(sets) for name in item.names)
    ends = tuple(itertools.accumulate(len(item) for item in sets))
    digest = hashlib.sha256("|".join(item.fingerprint for item in sets).encode()).hexdigest()[:12]
    tasks = {item.task for item in sets}
    return replace(
        sets[0],
        label=" + ".join(item.label for item in sets),
        task=tasks.pop() if len(tasks) == 1 else "",
        names=names,
        fingerprint=digest,
        reader=_Joined(tuple(item.reader for item in sets), ends, names),
    )


def hold_out(images: ImageSet, most: int = 16) -> tuple[ImageSet, ImageSet | None]:
    """Split off the last tenth of the images (at least 1, at most `most`) for validation.

    A block of neighbours, so that the several degraded versions of one background, which have
    neighbouring names, stay on one side. A set of fewer than 4 images is not split.
    """
    count = len(images)
    if count < 4:
        return images, None
    held = min(most, max(1, count // 10))
    return images.subset(range(count - held)), images.subset(range(count - held, count))
