"""Resolving what a user typed after ``--data`` or ``--dataset`` to an `ImageSet`."""

from __future__ import annotations

import os
from pathlib import Path

from restorekit.data.cards import DatasetCard
from restorekit.data.checked import cache_folder
from restorekit.data.imageset import ImageSet, RawSample, builtin_set, file_set
from restorekit.data.pairing import NoPairsError, pair_folder, part_names, unpaired_folder
from restorekit.data.plan import known_split
from restorekit.data.store import Installed, installed
from restorekit.errors import DataError, PluginError, UnknownNameError

__all__ = ["BUILTIN", "ImageSet", "RawSample", "as_folder", "find_card", "resolve"]

BUILTIN = "builtin"


def find_card(name: str) -> DatasetCard:
    """Return the card of a data set that the core or a plugin declares.

    Raises `UnknownNameError` naming the closest one.
    """
    from restorekit.plugin.registry import registry

    component = registry().find("dataset", name)
    card = component.load()
    if not isinstance(card, DatasetCard):
        raise PluginError(f"data set {component.id!r}: {component.entry.target!r} is not a DatasetCard")
    return card


def _looks_like_path(text: str) -> bool:
    return text.startswith(("~", ".")) or os.sep in text or bool(os.altsep and os.altsep in text)


def _is_known(name: str) -> bool:
    from restorekit.plugin.registry import registry

    return any(name in (c.id, c.entry.name) for c in registry().components("dataset"))


def as_folder(name_or_path: str | Path) -> Path | None:
    """Return the folder that is meant, or None for the name of a data set.

    A bare word that is both is the data set; ``./raindrop`` is the folder.
    """
    if isinstance(name_or_path, Path):
        return name_or_path
    path = Path(name_or_path).expanduser()
    if _is_known(name_or_path.partition("@")[0]):
        return None
    return path if _looks_like_path(name_or_path) or path.exists() else None


def _folder_and_part(name_or_path: str | Path) -> tuple[Path | None, str]:
    """Return the folder that is meant and the part of it, of ``FOLDER`` or ``FOLDER@PART``."""
    text = str(name_or_path)
    whole = as_folder(name_or_path)
    base, at, part = text.rpartition("@")
    if at and not (whole and whole.exists()):
        folder = as_folder(type(name_or_path)(base))
        if folder is not None and folder.is_dir():
            return folder, part
    return whole, ""


def _folder(path: Path, split: str | None, lenient: bool) -> ImageSet:
    name = path.resolve().name or "root"
    try:
        files = pair_folder(path, split=split, prefer="test", lenient=lenient)
    except NoPairsError as error:
        files = unpaired_folder(path, split=split, prefer="test")
        note = str(error)
    else:
        note = ""
    label = f"{name}@folder/{files.split}" if files.split else f"{name}@folder"
    return file_set(label, "", files.pairs, files.paired, note)


def _installed_set(card: DatasetCard, record: Installed) -> ImageSet:
    part = f"({len(record.pairs)}/{record.expected})" if record.partial else ""
    note = "" if record.paired else f"{card.name} has no clean images: {card.title}."
    return file_set(f"{card.name}@{record.split}{part}", card.task, record.pairs, record.paired, note)


def _how_to_add(card: DatasetCard) -> str:
    return (
        f"Get it from {card.homepage or 'its authors'} and run `restorekit data add {card.name}"
        " PATH_OR_ARCHIVE`,"
        " or give a folder"
    )


def _absent(card: DatasetCard, split: str, present: dict[str, Installed]) -> DataError:
    have = f"only {', '.join(present)} of it is" if present else "it is not"
    return DataError(
        f"{card.name}@{split} is asked for, but {have} installed. {_how_to_add(card)}. The built-in images"
        f" ({card.name}@{BUILTIN}) are for testing only, not for training."
    )


def _named(card: DatasetCard, suffix: str, split: str | None, builtin: bool | None) -> ImageSet:
    suffix = suffix.partition("(")[0]  # a label such as rain100l@test(50/100) names its set
    if suffix == BUILTIN or builtin:
        return builtin_set(card.name, card.task)
    asked = suffix or split
    wanted = known_split(card, asked) if asked else card.benchmark_split
    present = installed(card.name)
    if wanted in present:
        return _installed_set(card, present[wanted])
    may_stand_in = builtin is None and card.paired and wanted == card.benchmark_split and not suffix
    if present or not may_stand_in:
        raise _absent(card, wanted, present)
    return builtin_set(card.name, card.task)


def every_part(source: str) -> list[str]:
    """Return what to `resolve` to get all that a folder or an installed set holds: ``folder@train``, ``folder@test``.

    A source that names a part already, or has none, is returned as it is.
    """
    folder, part = _folder_and_part(source)
    if folder is not None:
        names = [] if part else part_names(folder)
        return [f"{source}@{name}" for name in names] if len(names) > 1 else [source]
    base, _, suffix = source.partition("@")
    splits = [] if suffix else list(installed(find_card(base).name))
    return [f"{base}@{split}" for split in splits] or [source]


def training_part(source: str, lenient: bool = False) -> ImageSet:
    """Resolve what is learned from: the training part of an installed set or of a folder, or a folder without parts.

    The built-in images never stand in. `lenient`, and what it raises: see `resolve`.
    """
    if as_folder(source) is None:
        return resolve(source, split=None if "@" in source else "train", builtin=False)
    try:
        return resolve(source, split="train", lenient=lenient)
    except UnknownNameError:  # a folder without splits
        return resolve(source, lenient=lenient)


def resolve(
    name_or_path: str | Path, split: str | None = None, builtin: bool | None = None, lenient: bool = False
) -> ImageSet:
    """Resolve a folder or the name of a data set.

    A folder, optionally ``folder@split``, is paired by the naming schemes found in the wild, its test folder first
    when it has several and no split is named; without recognisable pairs it is an unpaired set. A name, optionally
    ``name@split``, is the installed set (the benchmark split unless `split` says otherwise; what stands behind ``@``
    wins), and the built-in synthetic one when the benchmark split is asked for and nothing is installed.
    ``name@builtin`` or ``builtin=True`` always gives the built-in one, ``builtin=False`` never. `lenient`: bad files of
    a folder are met by whoever reads them, and not here.

    Raises `UnknownNameError` (no such data set, split or folder), `DataError` (not installed, folder that
    cannot be paired), `ImageError` (a file that is no image).
    """
    cache_folder()  # what is computed from a set is kept there: a wrong one is named before
    folder, part = _folder_and_part(name_or_path)
    if folder is not None:
        return _folder(folder, part or split, lenient)
    base, _, suffix = str(name_or_path).partition("@")
    try:
        card = find_card(base)
    except UnknownNameError as error:
        raise UnknownNameError(f"{error} Nor is there a folder of that name here.") from error
    return _named(card, suffix, split, builtin)
