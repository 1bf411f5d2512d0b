"""`ImageSet`: the resolved data set that training, benchmarks and checks consume."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from restorekit.data.decode import read_rgb8
from restorekit.data.pairing import FilePair
from restorekit.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_SAMPLE = 4096
"""Bytes of a file that its fingerprint reads at each of two places."""


@dataclass(frozen=True)
class RawSample:
    """One decoded sample.

    `degraded` and `clean`: uint8 RGB [H, W, 3]. `mask`: uint8 [H, W] in {0, 255}, 255 where degraded, when
    known.
    """

    name: str
    degraded: NDArray[np.uint8]
    clean: NDArray[np.uint8] | None = None
    mask: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class ImageSet:
    """A data set ready to be read.

    `label` goes into every table and file: ``raindrop@builtin``, ``rain100l@test(50/100)``,
    ``holiday@folder``. `task` is empty for a folder. `names` are unique. `fingerprint` is a short hash of
    file names, sizes and samples of bytes, or of the built-in version, the same wherever the files lie. `reader` gives
    sample i. `note` says why the set has no clean images, when it has none.
    """

    label: str
    task: str
    paired: bool
    names: tuple[str, ...]
    fingerprint: str
    reader: Callable[[int], RawSample]
    note: str = ""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_builtin(self) -> bool:
        """Whether these are the built-in synthetic images, which are for testing only."""
        return self.label.endswith("@builtin")

    def read(self, index: int) -> RawSample:
        """Decode sample `index` (0-based). Raises `ImageError` for a file that cannot be read."""
        return self.reader(index)

    def __iter__(self) -> Iterator[RawSample]:
        return (self.read(index) for index in range(len(self)))

    def require_paired(self) -> ImageSet:
        """Return the set itself. Raises `DataError` when it has no clean images."""
        if not self.paired:
            raise DataError(self.note or f"{self.label} has no clean images, which are needed here.")
        return self

    def subset(self, indices: Iterable[int]) -> ImageSet:
        """Return the samples at `indices`, in that order, under the same label, with a new fingerprint."""
        chosen = tuple(indices)
        names = tuple(self.names[i] for i in chosen)
        digest = hashlib.sha256("\n".join((self.fingerprint, *names)).encode("utf-8", "surrogateescape")).hexdigest()[
            :12
        ]
        return replace(self, names=names, fingerprint=digest, reader=_Chosen(self.reader, chosen))


@dataclass(frozen=True)
class _Chosen:
    reader: Callable[[int], RawSample]
    indices: tuple[int, ...]

    def __call__(self, index: int) -> RawSample:
        return self.reader(self.indices[index])


def _halves(whole: NDArray[np.uint8], pair: FilePair) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    import numpy as np

    middle = whole.shape[1] // 2
    left, right = np.ascontiguousarray(whole[:, :middle]), np.ascontiguousarray(whole[:, middle:])
    return (left, right) if pair.sides == "degraded-clean" else (right, left)


def read_pair(pair: FilePair) -> RawSample:
    """Decode the files of one sample.

    Raises `ImageError` for a file that cannot be read, `DataError` when the decoded sizes differ.
    """
    degraded = read_rgb8(pair.degraded)
    if pair.sides:
        return RawSample(pair.name, *_halves(degraded, pair))
    clean = read_rgb8(pair.clean) if pair.clean else None
    mask = (read_rgb8(pair.mask)[..., 0] > 127).astype("uint8") * 255 if pair.mask else None
    for path, other in ((pair.clean, clean), (pair.mask, mask)):
        if other is not None and other.shape[:2] != degraded.shape[:2]:
            raise DataError(
                f"{pair.degraded} is {degraded.shape[1]}x{degraded.shape[0]} but {path} is"
                f" {other.shape[1]}x{other.shape[0]}; both must have the same size."
            )
    return RawSample(pair.name, degraded, clean, mask)


@dataclass(frozen=True)
class _Files:
    pairs: tuple[FilePair, ...]

    def __call__(self, index: int) -> RawSample:
        return read_pair(self.pairs[index])


def files_fingerprint(pairs: Iterable[FilePair]) -> str:
    """Hash names, halves, and of each file its size and two samples to 12 hexadecimal digits.

    It is the same wherever the files lie.
    """
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(f"{pair.name}|{pair.sides}\n".encode("utf-8", "surrogateescape"))
        for path in (pair.degraded, pair.clean, pair.mask):
            digest.update(_file_sample(path) if path else b"|")
    return digest.hexdigest()[:12]


def _file_sample(path: Path) -> bytes:
    """Return the size and the bytes in the middle and at the end; a PNG ends with checksums of all that it holds."""
    size = path.stat().st_size
    sample = f"|{size}|".encode()
    with contextlib.suppress(PermissionError), path.open("rb") as file:  # whoever reads the picture reports that
        for start in (size // 2, size - _SAMPLE):
            file.seek(max(0, start))
            sample += file.read(_SAMPLE)
    return sample


def file_set(label: str, task: str, pairs: tuple[FilePair, ...], paired: bool, note: str = "") -> ImageSet:
    """Make an `ImageSet` of files. Raises `DataError` when a file has gone."""
    try:
        fingerprint = files_fingerprint(pairs)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}). Import the data set again.") from error
    return ImageSet(label, task, paired, tuple(p.name for p in pairs), fingerprint, _Files(pairs), note)


class _Renderings:
    """The built-in images of one task, rendered in order and only as far as they are asked for."""

    def __init__(self, task: str) -> None:
        from restorekit.data.builtin.sets import builtin_pairs

        self._coming = builtin_pairs(task)
        self._done: list[RawSample] = []
        self._lock = threading.Lock()

    def __getitem__(self, index: int) -> RawSample:
        with self._lock:
            while len(self._done) <= index:
                name, degraded, clean, mask = next(self._coming)
                whole = None if mask is None else (mask > 0).astype("uint8") * 255
                self._done.append(RawSample(name, degraded, clean, whole))
        return self._done[index]


_renderings = functools.cache(_Renderings)


@dataclass(frozen=True)
class _Builtin:
    task: str

    def __call__(self, index: int) -> RawSample:
        return _renderings(self.task)[index]


def builtin_set(name: str, task: str) -> ImageSet:
    """Return the built-in synthetic images of `task` under the label ``NAME@builtin``.

    Raises `DataError` when there are none for that task: no installed synthesizer makes them.
    """
    from restorekit.data.builtin import photos
    from restorekit.data.builtin.sets import rendering_of

    try:
        how = rendering_of(task)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    numbers = range(1, len(how.presets) + 1)
    names = tuple(f"{photo.stem}-{number}" for photo in photos() for number in numbers)
    version = f"builtin-{task}-{how.version}"
    return ImageSet(f"{name}@builtin", task, True, names, version, _Builtin(task))
