"""Looking through a data set for files that cannot be read and pairs that are not what they should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from restorekit.data.imageset import ImageSet, RawSample
from restorekit.data.leaks import alignment, perceptual_hash
from restorekit.errors import DataError


class Shift(NamedTuple):
    """A pair whose images seem to be shifted against each other, in pixels down and to the right."""

    name: str
    dy: int
    dx: int


@dataclass(frozen=True)
class SetReport:
    """What was found in one set. `hashes`: (name, perceptual hash) of the backgrounds that could be read."""

    label: str
    task: str
    paired: bool
    count: int
    fingerprint: str
    unreadable: tuple[str, ...]
    identical: tuple[str, ...]
    misaligned: tuple[Shift, ...]
    hashes: tuple[tuple[str, int], ...]

    def values(self) -> dict[str, object]:
        """Return the report as plain values for JSON, without the hashes."""
        return {
            "label": self.label,
            "task": self.task,
            "paired": self.paired,
            "count": self.count,
            "fingerprint": self.fingerprint,
            "unreadable": list(self.unreadable),
            "identical": list(self.identical),
            "misaligned": [shift._asdict() for shift in self.misaligned],
        }


@dataclass(frozen=True)
class _Seen:
    hash: int
    identical: bool = False
    shift: tuple[int, int] = (0, 0)


def _look(sample: RawSample) -> _Seen:
    if sample.clean is None:
        return _Seen(perceptual_hash(sample.degraded))
    identical = bool((sample.degraded == sample.clean).all())
    return _Seen(perceptual_hash(sample.clean), identical, alignment(sample.degraded, sample.clean))


def check_set(images: ImageSet, on_sample: Callable[[], None] = lambda: None) -> SetReport:
    """Decode every sample of `images` and report what is wrong; `on_sample` is called after each.

    A file that cannot be read is reported, not raised.
    """
    seen: dict[str, _Seen] = {}
    unreadable: list[str] = []
    for index, name in enumerate(images.names):
        try:
            seen[name] = _look(images.read(index))
        except DataError as error:
            unreadable.append(str(error))
        on_sample()
    return SetReport(
        images.label,
        images.task,
        images.paired,
        len(images),
        images.fingerprint,
        tuple(unreadable),
        tuple(name for name, found in seen.items() if found.identical),
        tuple(Shift(name, *found.shift) for name, found in seen.items() if found.shift != (0, 0)),
        tuple((name, found.hash) for name, found in seen.items()),
    )
