"""`DatasetCard`: what is known about a published data set. Imports nothing heavy."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

Sides = Literal["", "degraded-clean", "clean-degraded"]

_RUN = re.compile(r"[^\W\d_]+|\d+")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")  # of a run: only a-z tells words apart by their capitals


def words(text: str) -> list[str]:
    """Split a file or folder name into lower-case words and numbers: ``RainTrain_2L`` -> rain train 2 l."""
    runs = _RUN.findall(unicodedata.normalize("NFC", text))
    return [word.lower() for run in runs for word in (_WORD.findall(run) if run.isascii() else [run])]


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    `counts`: the numbers of degraded images that published copies have; empty when nobody states one.
    `folders`: the words that name the split in folder names. `first`: the number in the first
    file name when the files are numbered without gaps, so that missing ones can be named.
    """

    counts: tuple[int, ...] = ()
    folders: tuple[str, ...] = ()
    first: int | None = None

    @property
    def expected(self) -> int | None:
        """The smallest complete count, or None when no count is stated."""
        return min(self.counts) if self.counts else None


@dataclass(frozen=True)
class DatasetCard:
    """A data set: `name` and `title`, its parts, and where it comes from.

    `task`: ``raindrop`` or ``rain-streak``. `splits`: name -> `Split`. `benchmark_split`: the split that is
    scored when none is named. `paired`: whether clean images exist. `sides`: the order of the halves when one picture
    holds both images, or the names of the folders of degraded and of clean images, such as ``("wet", "dry")``, where
    these are not those that `restorekit.data.layout` knows. `pair`: what finds the pairs of a copy where neither does:
    its folder -> split -> `restorekit.data.pairing.FilePair` of each sample. `homepage`: where the authors offer it.
    `license`: as its authors state it. `paper`: where it was published.
    `degraded_scores`: split -> protocol id -> (PSNR in dB, SSIM) of the degraded images of the full split.
    `layouts`: the arrangements in which copies are found, for people to read.
    """

    name: str
    title: str
    task: str
    splits: Mapping[str, Split]
    benchmark_split: str = "test"
    paired: bool = True
    sides: Sides | tuple[str, str] = ""
    pair: Callable[[Path], Mapping[str, Sequence[Any]]] | None = None
    license: str = "none stated"
    homepage: str = ""
    paper: str = ""
    degraded_scores: Mapping[str, Mapping[str, tuple[float, float]]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    layouts: tuple[str, ...] = ()

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
