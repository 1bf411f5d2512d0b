"""`DatasetCard`: what is known about a published data set. Imports nothing heavy."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from restorekit.data.pairing import FilePair

if TYPE_CHECKING:
    from restorekit.data.pairing import FilePair

Sides = Literal["", "degraded-clean", "clean-degraded"]

_RUN = re.compile(r"[^\W\d_]+|\d+")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")  # of a run: only a-z tells words apart by their capitals


def words(text: str) -> list[str]:
    """Split a file or folder name into lower-case words and numbers: ``RainTrain_2L`` -> rain train 2 l."""
    runs = _RUN.findall(unicodedata.normalize("NFC", text))
    return [word.lower() for run in runs for word in (_WORD.findall(run) if run.isascii() else [run])]


@dataclass(frozen=True)
class Split:
    """One part of a data set."""

    counts: tuple[int, ...] = ()
    """The numbers of degraded images that published copies have; empty when nobody states one."""
    folders: tuple[str, ...] = ()
    """The words that name the split in folder names."""
    first: int | None = None
    """The number in the first file name when files are numbered without gaps, so that missing ones can be named."""

    @property
    def expected(self) -> int | None:
        """The smallest complete count, or None when no count is stated."""
        return min(self.counts) if self.counts else None


@dataclass(frozen=True)
class DatasetCard:
    """A data set: its parts, and where it comes from."""

    name: str
    """What commands call it."""
    title: str
    """What people call it."""
    task: str
    """What its images are degraded by: the name of a task, such as ``raindrop``."""
    splits: Mapping[str, Split]
    """Its parts by name."""
    benchmark_split: str = "test"
    """The split that is scored when none is named."""
    paired: bool = True
    """Whether clean images exist."""
    sides: Sides | tuple[str, str] = ""
    """The order of the halves when one picture holds both images; or the names of the folders.

    These are of degraded and of clean images, such as ``("wet", "dry")``, where `restorekit.data.layout` does not know
    them.
    """
    pair: Callable[[Path], Mapping[str, Sequence[FilePair]]] | None = None
    """What finds the pairs of a copy where neither layout nor `sides` does.

    Its folder -> split -> `restorekit.data.pairing.FilePair` of each sample.
    """
    license: str = "none stated"
    """As its authors state it."""
    homepage: str = ""
    """Where the authors offer it."""
    paper: str = ""
    """Where it was published."""
    degraded_scores: Mapping[str, Mapping[str, tuple[float, float]]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Split -> protocol id -> (PSNR in dB, SSIM) of the degraded images of the full split."""
    layouts: tuple[str, ...] = ()
    """The arrangements in which copies are found, for people to read."""

    def split_in(self, path: str) -> str | None:
        """Return the split that a path such as ``Raindrop/test_a/data`` names, or None."""
        found = words(path)
        spans = set(found) | {a + b for a, b in itertools.pairwise(found)}
        ranked = sorted(
            ((alias, name) for name, split in self.splits.items() for alias in (*split.folders, name)),
            key=lambda pair: -len(pair[0]),
        )
        return next((name for alias, name in ranked if "".join(words(alias)) in spans), None)


TRAIN_WORDS = ("train", "training")
TEST_WORDS = ("test", "testing")
FOLDER = DatasetCard(
    name="folder",
    title="a folder of images",
    task="",
    splits=MappingProxyType(
        {
            "train": Split(folders=TRAIN_WORDS),
            "val": Split(folders=("val", "valid", "validation")),
            "test": Split(folders=(*TEST_WORDS, "testa", "testb")),
        }
    ),
)
