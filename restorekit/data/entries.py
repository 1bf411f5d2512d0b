"""The data sets that the core declares. Imports no torch."""

from __future__ import annotations

from restorekit.data.known import ALIASES, CARDS
from restorekit.plugin.entry import Entry


def _entry(name: str, card_name: str) -> Entry:
    card = next(card for card in CARDS if card.name == card_name)
    return Entry(
        name=name,
        kind="dataset",
        target=f"restorekit.data.known:{card_name.replace('-', '_')}",
        summary=card.title,
        gives={"clean"} if card.paired else (),
        tasks=(card.task,),
        paper=card.paper,
    )


DATASET_ENTRIES: list[Entry] = [
    *(_entry(card.name, card.name) for card in CARDS),
    *(_entry(alias, name) for alias, name in ALIASES.items()),
]
