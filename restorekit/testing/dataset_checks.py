"""Checks of data sets."""

from __future__ import annotations

from restorekit.data.cards import DatasetCard, Split
from restorekit.testing.check import Subject, for_kinds, require


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
