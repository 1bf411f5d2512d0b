"""Pairing the degraded and clean images of a folder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from restorekit.data.cards import FOLDER, DatasetCard, Sides
from restorekit.data.decode import image_size
from restorekit.data.layout import Site, Tree, find_sites, image_tree, role_of
from restorekit.errors import DataError, ImageError

_SHOWN = 5
_VARIANT = re.compile(r"[-_]\d+$")  # Rain1400: 901_14 is a rain over 901

LOOKED_FOR = (
    "two folders side by side (data + gt, input + target, rainy + gt, rain + norain, degraded + clean, LQ +"
    " GT, ...),"
    " also below train and test folders, or one folder of files such as rain-001.png with norain-001.png or"
    " 0_rain.png with 0_clean.png"
)


@dataclass(frozen=True)
class FilePair:
    """The files of one sample. `name` is unique in its set: the stem of the degraded file.

    `sides` says, when both images lie side by side in the one picture `degraded`, in which order.
    """

    name: str
    degraded: Path
    clean: Path | None = None
    mask: Path | None = None
    sides: Sides = ""


@dataclass(frozen=True)
class PairedFiles:
    """The pairs found under `root`, sorted by place and name.

    `layout` says how they were found; `unpartnered` lists the files left alone; `paired` is False for
    a folder of degraded images only; `split` names the part that was taken when the folder has several.
    """

    root: Path
    pairs: tuple[FilePair, ...]
    layout: str
    unpartnered: tuple[Path, ...] = ()
    paired: bool = True
    split: str | None = None


class NoPairsError(DataError):
    """No pair of degraded and clean images was recognised in a folder."""


def listing(items: Iterable[object]) -> str:
    """Join the first few items: ``a, b, c and 7 more``."""
    shown = [str(item) for item in items]
    rest = len(shown) - _SHOWN
    return ", ".join(shown[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _variant_key(path: Path) -> str:
    return role_of(_VARIANT.sub("", path.stem))[1]


def _role_key(path: Path) -> str:
    return role_of(path.stem)[1]


def _stem(path: Path) -> str:
    return path.stem


Key = Callable[[Path], str]
Member = TypeVar("Member")
_STRATEGIES: tuple[tuple[Key, Key], ...] = ((_stem, _stem), (_role_key, _role_key), (_variant_key, _role_key))


def _partners(degraded: Sequence[Path], others: Sequence[Path]) -> dict[Path, Path]:
    """Degraded file -> its partner, by the naming scheme that pairs the most files."""
    best: dict[Path, Path] = {}
    for of_degraded, of_other in _STRATEGIES:
        known = {of_other(path): path for path in others}
        if len(known) < len(others):
            continue  # two clean files would go by one key: the scheme cannot tell them apart
        found = {path: known[key] for path in degraded if (key := of_degraded(path)) in known}
        best = found if len(found) > len(best) else best
    return best


def _with_folders(path: Path) -> str:
    return f"{path.parent.parent.name}-{path.parent.name}-{path.stem}"


def _with_suffix(path: Path) -> str:
    return f"{_with_folders(path)}-{path.suffix[1:]}"


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Return a unique name per file: its stem, with folders, suffix and at last a number where names repeat."""
    names = [path.stem for path in paths]
    for longer in (_with_folders, _with_suffix):
        counts = Counter(names)
        names = [n if counts[n] == 1 else longer(path) for n, path in zip(names, paths, strict=True)]
    return _numbered(names)


def _numbered(names: Sequence[str]) -> list[str]:
    taken, seen = set(names), Counter[str]()
    unique = []
    for name in names:
        seen[name] += 1
        new = name
        while seen[name] > 1 and new in taken:
            new = f"{name}-{seen[name]}"
            seen[name] += new in taken
        taken.add(new)
        unique.append(new)
    return unique


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def join_sites(root: Path, sites: Sequence[Site]) -> PairedFiles:
    """Match the files of every site; files that stay alone are listed in `unpartnered`."""
    rows: list[tuple[Path, Path, Path | None]] = []
    alone: list[Path] = []
    for site in sites:
        partners, masks = _partners(site.degraded, site.clean), _partners(site.degraded, site.mask)
        order = sorted(partners, key=lambda path: _natural(path.stem))
        rows += [(path, partners[path], masks.get(path)) for path in order]
        used = set(partners.values())
        alone += [p for p in site.degraded if p not in partners] + [p for p in site.clean if p not in used]
    names = unique_names([row[0] for row in rows])
    pairs = tuple(FilePair(name, *row) for name, row in zip(names, rows, strict=True))
    return PairedFiles(root, pairs, "; ".join(site.layout for site in sites), tuple(alone))


def _lone_files(tree: Tree, root: Path) -> list[Path]:
    return tree[root] or [path for files in tree.values() for path in files]


def _alone(root: Path, paths: Sequence[Path], layout: str, sides: Sides) -> PairedFiles:
    ordered = sorted(paths, key=lambda path: (str(path.parent), _natural(path.stem)))
    names = unique_names(ordered)
    pairs = tuple(FilePair(name, path, sides=sides) for name, path in zip(names, ordered, strict=True))
    return PairedFiles(root, pairs, layout, paired=bool(sides))


def unpaired_folder(path: Path | str, *, split: str | None = None, prefer: str | None = None) -> PairedFiles:
    """Take every image of a folder as degraded, without clean partners: its own files, else those below it.

    Where folders name splits, `split` takes those of its name, and so does `prefer` if there are any. Raises
    `DataError` when there is no such folder or no image, or the folders name other splits only.
    """
    root = Path(path)
    tree = image_tree(root)
    groups: dict[str | None, list[Path]] = {}
    for folder, paths in tree.items():
        if paths:
            groups.setdefault(FOLDER.split_in(folder.relative_to(root).as_posix()), []).extend(paths)
    wanted = prefer if split is None and prefer in groups else split
    if wanted is None or (wanted not in groups and None in groups):
        return _alone(root, _lone_files(tree, root), "images without ground truth", "")
    files = _alone(root, _chosen(groups, wanted, root), "images without ground truth", "")
    return replace(files, split=wanted)


def part_names(path: Path | str) -> list[str]:
    """Return the parts (train, val, test) that a folder's inner folders name, in that order.

    A part that no folder names is listed when there are images outside of all parts: these are what it stands for.
    Raises `DataError` as `pair_folder` does for a folder without images.
    """
    root = Path(path)
    tree = image_tree(root)
    groups: dict[str | None, object] = dict(sites_by_split(find_sites(tree, root), root, FOLDER))
    if not groups:
        groups = {FOLDER.split_in(folder.relative_to(root).as_posix()): 1 for folder, paths in tree.items() if paths}
    named = [name for name in FOLDER.splits if name in groups]
    others = [name for name in FOLDER.splits if name not in groups]
    return named + (others[:1] if None in groups and named else [])


def no_pairs(root: Path, tree: Tree) -> NoPairsError:
    """The error for a folder in which no pair was recognised: says what was looked for and found."""
    found = [f"{len(files)} in {p.relative_to(root).as_posix() or '.'}" for p, files in tree.items() if files]
    return NoPairsError(
        f"{root}: no pairs of degraded and clean images. Looked for {LOOKED_FOR}; found images:"
        f" {listing(found)}."
        " Rename the folders or files to one of these schemes."
    )


def _strangers(root: Path, sites: Sequence[Site]) -> DataError:
    """The error for degraded and clean images of which no two go by one name."""
    degraded = [path.relative_to(root) for site in sites for path in site.degraded]
    clean = [path.relative_to(root) for site in sites for path in site.clean]
    return DataError(
        f"{root}: {len(degraded)} degraded images ({listing(degraded)}) and {len(clean)} clean ones ({listing(clean)}),"
        " but no two of one name. Name both images of a pair alike, such as rainy/1.png and clean/1.png; if these are"
        " no pairs, give the folder of the degraded ones alone."
    )


def unequal(files: PairedFiles) -> DataError:
    """The error for files without partner."""
    names = listing(path.relative_to(files.root).as_posix() for path in files.unpartnered)
    return DataError(
        f"{files.root} ({files.layout}): {len(files.pairs)} pairs, but {len(files.unpartnered)} images have"
        " no partner:"
        f" {names}. Add the missing partners or remove these files."
    )


def check_sizes(pairs: Iterable[FilePair]) -> None:
    """Compare the sizes of each pair from the file headers.

    Raises `ImageError` naming every file that is no image, else `DataError` naming the first pairs that differ.
    """
    wrong: list[str] = []
    unreadable: list[ImageError] = []
    for pair in pairs:
        try:
            wrong += _wrong_sizes(pair)
        except ImageError as error:
            unreadable.append(error)
    if len(unreadable) == 1:
        raise unreadable[0]
    if unreadable:
        raise ImageError(f"{len(unreadable)} images cannot be read:\n" + "\n".join(map(str, unreadable)))
    if wrong:
        raise DataError(
            f"the sizes of {len(wrong)} pairs differ: {listing(wrong)}. Both images of a pair must have"
            " the same width and height: correct or remove these."
        )


def _wrong_sizes(pair: FilePair) -> list[str]:
    height, width = image_size(pair.degraded)
    wrong = []
    if pair.sides and width % 2:
        wrong.append(f"{pair.degraded.name} is {width} pixels wide, which cannot be halved")
    for other in (pair.clean, pair.mask):
        if other is not None and (size := image_size(other)) != (height, width):
            wrong.append(f"{pair.degraded} is {width}x{height} but {other.name} is {size[1]}x{size[0]}")
    return wrong


def sites_by_split(sites: Iterable[Site], root: Path, card: DatasetCard) -> dict[str | None, list[Site]]:
    """Group sites by the split that their folders below `root` name, None for those that name none."""
    groups: dict[str | None, list[Site]] = {}
    for site in sites:
        split = card.split_in(site.folder.relative_to(root).as_posix()) or card.split_in(site.layout)
        groups.setdefault(split, []).append(site)
    return groups


def _chosen(groups: dict[str | None, list[Member]], split: str | None, root: Path) -> list[Member]:
    if split in groups:
        return groups[split]
    if split is not None and groups:
        raise DataError(
            f"{root} has no {split} folder; it has {', '.join(sorted(name for name in groups if name))}."
            " Give the folder that you mean itself."
        )
    return [member for members in groups.values() for member in members]


def pair_folder(
    path: Path | str,
    *,
    split: str | None = None,
    prefer: str | None = None,
    sides: Sides = "",
    lenient: bool = False,
) -> PairedFiles:
    """Pair the images of a folder by the naming schemes found in the wild.

    `split` (train, val or test) takes only the folders so named, or those that name no split; `prefer` does
    so where there are any, and else takes everything. `sides` reads each picture as two images side by side
    when no other pairing is recognised. Sizes are compared from the headers, unless it is `lenient`: whoever reads a
    pair then meets its error.

    Raises `NoPairsError` when no pair is recognised; `DataError` for a folder that does not exist, has no
    images, lacks the split, images without partner, or pairs whose sizes differ; `ImageError` for a file that
    is no image.
    """
    root = Path(path)
    tree = image_tree(root)
    groups = sites_by_split(find_sites(tree, root), root, FOLDER)
    wanted = prefer if split is None and prefer in groups else split
    if wanted is not None and wanted not in groups and None in groups:
        wanted, groups = None, {None: groups[None]}
    sites = _chosen(groups, wanted, root)
    if sites:
        files = replace(join_sites(root, sites), split=wanted if len(groups) > 1 else None)
        if not files.pairs:
            raise _strangers(root, sites)
        if files.unpartnered:
            raise unequal(files)
    elif sides:
        files = _alone(root, _lone_files(tree, root), f"both halves in one picture ({sides})", sides)
    else:
        raise no_pairs(root, tree)
    if not lenient:
        check_sizes(files.pairs)
    return files
