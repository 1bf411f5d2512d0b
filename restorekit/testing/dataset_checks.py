"""Checks of data sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from restorekit.data.cards import DatasetCard, Sides, Split
from restorekit.data.pairing import FilePair
from restorekit.errors import RestorekitError
from restorekit.leftovers import temporary
from restorekit.testing.check import CheckFailedError, Subject, for_kinds, require

_HALVES = get_args(Sides)


@for_kinds("dataset", gate=True)
def check_is_a_card(subject: Subject) -> None:
    """The target is a `DatasetCard`."""
    card = subject.component.load()
    require(
        isinstance(card, DatasetCard),
        f"the target is a {type(card).__name__}; make it a restorekit.data.cards.DatasetCard",
    )


@for_kinds("dataset")
def check_card_agrees_with_its_entry(subject: Subject) -> None:
    """Name and task of the card are those of the entry; a second name must be beside an entry of the card's own."""
    entry, card = subject.component.entry, subject.component.load()
    same = [e.name for e in subject.component.plugin.entries if e.kind == "dataset" and e.target == entry.target]
    require(
        card.name == entry.name or card.name in same,
        f"the card is called {card.name!r} and the entry {entry.name!r}; give both one name",
    )
    require(
        card.task in entry.tasks,
        f"the card's task is {card.task!r} and its entry says tasks={entry.tasks}; make them agree",
    )


@for_kinds("dataset")
def check_card_has_splits(subject: Subject) -> None:
    """It has splits, and the one that is scored is among them."""
    card = subject.component.load()
    require(card.splits, "the card has no splits; give at least one, such as splits={'test': Split()}")
    wrong = [name for name, split in card.splits.items() if not isinstance(split, Split)]
    require(not wrong, f"its split {wrong[:1]} is no Split; give restorekit.data.cards.Split(...)")
    require(
        card.benchmark_split in card.splits,
        f"benchmark_split is {card.benchmark_split!r}, and its splits are {', '.join(card.splits)}; name one of them",
    )


@for_kinds("dataset")
def check_sides_are_two(subject: Subject) -> None:
    """`sides` orders the halves of one picture, or names two folders, those of the degraded images first."""
    sides = subject.component.load().sides
    if isinstance(sides, str):
        require(sides in _HALVES, f"sides is {sides!r}; give one of {', '.join(map(repr, _HALVES))}, or two folders")
        return
    names = isinstance(sides, tuple) and len(sides) == 2 and all(isinstance(s, str) and s.strip() for s in sides)
    require(
        names and sides[0] != sides[1],
        f"sides is {sides!r}; name two folders, such as ('wet', 'dry'): of the degraded images, then of the clean ones",
    )


@for_kinds("dataset")
def check_pairs_an_empty_folder(subject: Subject) -> None:
    """`pair`, where there is one, finds nothing in an empty folder, or says by a `DataError` what is missing."""
    card = subject.component.load()
    if card.pair is None:
        return
    require(callable(card.pair), f"pair is a {type(card.pair).__name__}; make it a function of the folder")
    with temporary("check") as folder:
        found = _paired(card, folder)
    require(isinstance(found, Mapping), f"pair gave a {type(found).__name__}; give split -> list of FilePair")
    assert isinstance(found, Mapping)
    unknown = [split for split in found if split not in card.splits]
    require(not unknown, f"pair gave the split {unknown[:1]}, and the card has {', '.join(card.splits)}")
    wrong = [pair for pairs in found.values() for pair in pairs if not isinstance(pair, FilePair)]
    require(not wrong, f"pair gave {wrong[:1]}; give a restorekit.data.pairing.FilePair for each sample")


def _paired(card: DatasetCard, folder: Path) -> object:
    assert card.pair is not None
    try:
        return card.pair(folder)
    except RestorekitError:
        return {}
    except Exception as error:
        raise CheckFailedError(
            f"on a folder without files pair raises {type(error).__name__}: {error}; return what is there, or raise a"
            " DataError that says what is missing"
        ) from error
