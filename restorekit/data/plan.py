"""Planning an import: which images of a folder belong to which split, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from restorekit.data.cards import DatasetCard, Sides, Split
from restorekit.data.layout import Tree, find_sites, image_tree, named_sites
from restorekit.data.pairing import (
    FilePair,
    PairedFiles,
    check_sizes,
    join_sites,
    listing,
    no_pairs,
    sites_by_split,
    unique_names,
)
from restorekit.errors import PluginError, RestorekitError, UnknownNameError, closest

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class SplitPlan:
    """What is to be imported as one split. `missing` says in words what a complete one has besides."""

    card: DatasetCard
    split: str
    files: PairedFiles
    missing: str

    @property
    def expected(self) -> int | None:
        """The smallest complete count, None when unknown."""
        return self.card.splits[self.split].expected


def _ranges(numbers: Sequence[int]) -> str:
    """``[2, 5, 6, 8]`` -> ``2, 5-6, 8``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _absent_numbers(split: Split, pairs: Sequence[FilePair]) -> str:
    if split.first is None or split.expected is None:
        return ""
    found = [_NUMBER.search(pair.name) for pair in pairs]
    have = {int(match.group()) for match in found if match}
    absent = sorted(set(range(split.first, split.first + split.expected)) - have)
    return f" (numbers {_ranges(absent)})" if absent and len(have) == len(pairs) else ""


def missing_from(card: DatasetCard, split: str, files: PairedFiles) -> str:
    """Say what `files` lack of the complete split, an empty string when nothing."""
    part, count, notes = card.splits[split], len(files.pairs), []
    if part.expected is not None and count < part.expected:
        absent = _absent_numbers(part, files.pairs)
        notes.append(f"{part.expected - count} of {part.expected} samples are missing{absent}")
    elif part.counts and count not in part.counts:
        notes.append(f"{count} samples where {' or '.join(map(str, part.counts))} are published")
    if files.unpartnered:
        names = listing(path.relative_to(files.root).as_posix() for path in files.unpartnered)
        notes.append(f"left out without partner: {names}")
    return "; ".join(notes)


def _single_files(card: DatasetCard, tree: Tree, root: Path, sides: Sides) -> dict[str | None, PairedFiles]:
    """Group images that each stand for one sample (unpaired, or both halves in one picture) by split."""
    groups: dict[str | None, list[Path]] = {}
    for folder, paths in tree.items():
        groups.setdefault(card.split_in(folder.relative_to(root).as_posix()), []).extend(paths)
    found = {}
    for split, paths in groups.items():
        names = unique_names(paths)
        pairs = tuple(FilePair(name, path, sides=sides) for name, path in zip(names, paths, strict=True))
        layout = f"both halves in one picture ({sides})" if sides else "images without ground truth"
        if pairs:
            found[split] = PairedFiles(root, pairs, layout, paired=bool(sides))
    return found


def _by_its_own_function(card: DatasetCard, root: Path) -> dict[str | None, PairedFiles]:
    """Return what the card's own function pairs. Raises `PluginError` when it fails or gives something else."""
    assert card.pair is not None
    try:
        groups = {split: tuple(pairs) for split, pairs in card.pair(root).items()}
    except RestorekitError:
        raise
    except Exception as error:
        raise PluginError(
            f"data set {card.name!r}: its function `pair` failed ({type(error).__name__}: {error})"
        ) from error
    unfit = [pair for pairs in groups.values() for pair in pairs if not isinstance(pair, FilePair)]
    if unfit:
        raise PluginError(f"data set {card.name!r}: its function `pair` gave a {type(unfit[0]).__name__}, not FilePair")
    for split in groups:
        known_split(card, split)
    found: dict[str | None, PairedFiles] = {
        split: PairedFiles(root, pairs, "paired by the data set's own function", paired=card.paired)
        for split, pairs in groups.items()
        if pairs
    }
    if not found:
        raise no_pairs(root, image_tree(root))
    return found


def _grouped(card: DatasetCard, root: Path, sides: Sides) -> dict[str | None, PairedFiles]:
    if card.pair is not None:
        return _by_its_own_function(card, root)
    tree = image_tree(root)
    if not card.paired:
        return _single_files(card, tree, root, "")
    named = card.sides if isinstance(card.sides, tuple) else None
    sites = named_sites(tree, root, named) if named else find_sites(tree, root)
    if sites and not sides:
        groups = sites_by_split(sites, root, card)
        found = {split: join_sites(root, group) for split, group in groups.items()}
        found = {split: files for split, files in found.items() if files.pairs}
    elif order := sides or ("" if isinstance(card.sides, tuple) else card.sides):
        found = _single_files(card, tree, root, order)
    else:
        found = {}
    if not found:
        raise no_pairs(root, tree)
    return found


def _default_split(card: DatasetCard, root: Path, count: int) -> str:
    """The split of images whose folders name none: by the root's name, by count, else the benchmark's."""
    named = card.split_in(root.name)
    by_count = [name for name, split in card.splits.items() if count in split.counts]
    return named or (by_count[0] if len(by_count) == 1 else card.benchmark_split)


def known_split(card: DatasetCard, split: str) -> str:
    """Return `split` as the card spells it (``test_a`` -> ``test-a``).

    Raises `UnknownNameError` when the card has no such split.
    """
    name = split.lower().replace("_", "-")
    if name not in card.splits:
        raise UnknownNameError(
            f"{card.name} has no split {split!r}.{closest(name, card.splits)} It has: {', '.join(card.splits)}."
        )
    return name


def plan_import(card: DatasetCard, root: Path, split: str | None, sides: Sides) -> list[SplitPlan]:
    """Sort the images below `root` into the splits of `card`.

    `split` names the split of everything that is found, unless folders name it, then only that one is taken.

    Raises `DataError` (no images, no pairs, sizes that differ), `UnknownNameError` (no such split).
    """
    wanted = known_split(card, split) if split else None
    groups = _grouped(card, root, sides)
    if None in groups:
        files = groups.pop(None)
        groups.setdefault(wanted or _default_split(card, root, len(files.pairs)), files)
    if wanted is not None:
        groups = {wanted: groups.get(wanted) or _merged(root, list(groups.values()))}
    plans = []
    for name, files in groups.items():
        assert name is not None
        check_sizes(files.pairs)
        plans.append(SplitPlan(card, name, files, missing_from(card, name, files)))
    return plans


def _merged(root: Path, groups: Sequence[PairedFiles]) -> PairedFiles:
    pairs = [pair for files in groups for pair in files.pairs]
    names = unique_names([pair.degraded for pair in pairs])
    renamed = tuple(replace(pair, name=name) for pair, name in zip(pairs, names, strict=True))
    alone = tuple(path for files in groups for path in files.unpartnered)
    layout = "; ".join(files.layout for files in groups)
    return PairedFiles(root, renamed, layout, alone, groups[0].paired)
