"""Finding where a folder keeps its degraded and clean images, by the names people give to folders and files.

A *site* is one place that holds both: two folders side by side (``rainy`` and ``gt``), one folder of files
whose names tell (``rain-1.png``, ``norain-1.png``), or a folder of degraded images beside clean files.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from restorekit.data.cards import words
from restorekit.data.images.formats import READABLE, is_image_name
from restorekit.data.walking import walk
from restorekit.errors import DataError

Role = Literal["degraded", "clean", "mask"]

_DEGRADED = ("degraded", "data", "drop", "drops", "input", "inputs", "lq", "rain", "raindrop", "raindrops")
_CLEAN = ("clean", "groundtruth", "gt", "gts", "hq", "label", "labels", "nonrain", "norain", "rainfree")
ROLE_WORDS: dict[Role, frozenset[str]] = {
    "degraded": frozenset({*_DEGRADED, "rainy", "source", "wet"}),
    "clean": frozenset({*_CLEAN, "target", "targets", "truth"}),
    "mask": frozenset({"mask", "masks"}),
}
_FILLER = frozenset(["image", "images", "img", "imgs", "picture", "pictures"])
_JOINED = re.compile(r"(no|non|ground)[-_ ]+(rain|truth)|(rain)[-_ ]+(free)", re.IGNORECASE)
_SCALE_MARK = re.compile(r"(?<=\d)x[248]$")  # Rain100L's release: rain/norain-001x2.png


@dataclass(frozen=True)
class Site:
    """One place with images: `folder`, relative file lists by role, and its `layout` in words."""

    folder: Path
    layout: str
    degraded: tuple[Path, ...]
    clean: tuple[Path, ...] = ()
    mask: tuple[Path, ...] = ()


def _tokens(name: str) -> list[str]:
    return words(_JOINED.sub(lambda found: re.sub(r"[-_ ]+", "", found.group().lower()), name))


@cache
def role_of(name: str) -> tuple[Role | None, str]:
    """Return the role that a folder or file stem names, and what is left of the name.

    ``norain-001`` -> (clean, "001"); ``rainy_image`` -> (degraded, ""); ``holiday`` -> (None, "holiday").
    """
    tokens = _tokens(_SCALE_MARK.sub("", name))
    role = next((role for role, known in ROLE_WORDS.items() if known & set(tokens)), None)
    if role is None:
        return None, "-".join(tokens)
    return role, "-".join(t for t in tokens if t not in ROLE_WORDS[role] and t not in _FILLER)


Tree = dict[Path, list[Path]]


def image_tree(root: Path) -> Tree:
    """Return folder -> sorted image files directly in it, for `root` and every folder below, sorted.

    Links are followed. Hidden folders and the ``__MACOSX`` folder of archives are left out. Raises `DataError`
    when `root` is no folder, cannot be read, or has no image anywhere.
    """
    if not root.exists():
        raise DataError(f"{root}: no such folder. Give an existing folder, or the name of a data set.")
    if not root.is_dir():
        raise DataError(f"{root} is a file; a folder of images is needed here.")

    tree: Tree = {}
    for folder, below, files in walk(root):
        below[:] = [name for name in below if not name.startswith((".", "__MACOSX"))]
        tree[folder] = [folder / name for name in files if is_image_name(name)]
    if not any(tree.values()):
        raise DataError(f"{root}: no image in it or in the folders below. Images end in {', '.join(READABLE)}.")
    return tree


def _children(tree: Tree) -> dict[Path, list[Path]]:
    found: dict[Path, list[Path]] = defaultdict(list)
    for folder in tree:
        found[folder.parent].append(folder)
    return found


def _below(tree: Tree, folder: Path) -> dict[str, Path]:
    """Relative name -> folder, for `folder` and those below it that hold images."""
    return {
        str(path.relative_to(folder)): path
        for path, files in tree.items()
        if files and (path == folder or folder in path.parents)
    }


def _matching(tree: Tree, degraded: Path, clean: Path) -> list[tuple[Path, Path]]:
    """Pair the folders below two role folders: the same relative name, else the only one of each."""
    left, right = _below(tree, degraded), _below(tree, clean)
    same = [(left[name], right[name]) for name in left if name in right]
    if same or len(left) != 1 or len(right) != 1:
        return same
    return list(zip(left.values(), right.values(), strict=True))


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _folder_sites(tree: Tree, root: Path, kids: list[Path]) -> list[Site]:
    groups: dict[str, dict[Role, Path]] = defaultdict(dict)
    for kid in kids:
        role, rest = role_of(kid.name)
        if role is not None:
            groups[rest].setdefault(role, kid)
    sites = []
    for group in groups.values():
        if "degraded" not in group or "clean" not in group:
            continue
        masks = _below(tree, group["mask"]) if "mask" in group else {}
        for degraded, clean in _matching(tree, group["degraded"], group["clean"]):
            mask = masks.get(str(degraded.relative_to(group["degraded"])))
            layout = f"{_relative(degraded, root)} + {_relative(clean, root)}"
            files = (tuple(tree[degraded]), tuple(tree[clean]), tuple(tree[mask]) if mask else ())
            sites.append(Site(degraded, layout, *files))
    return sites


def _by_role(files: list[Path]) -> dict[Role | None, tuple[Path, ...]]:
    roles: dict[Role | None, list[Path]] = defaultdict(list)
    for path in files:
        roles[role_of(path.stem)[0]].append(path)
    return {role: tuple(paths) for role, paths in roles.items()}


def _file_site(tree: Tree, root: Path, folder: Path, kids: list[Path]) -> Site | None:
    """A site made by file names: both roles in `folder`, or clean files beside a degraded subfolder."""
    roles = _by_role(tree[folder])
    clean = roles.get("clean", ())
    if not clean:
        return None
    where = _relative(folder, root)
    if "degraded" in roles:
        files = (roles["degraded"], clean, roles.get("mask", ()))
        return Site(folder, f"{where}: roles in the file names", *files)
    for kid in kids:
        if role_of(kid.name)[0] == "degraded" and tree[kid]:
            return Site(kid, f"{_relative(kid, root)} + {where}", tuple(tree[kid]), clean)
    return None


def named_sites(tree: Tree, root: Path, sides: tuple[str, str]) -> list[Site]:
    """Return every folder that is called, or lies below one that is called, as the first of `sides`, with its partner.

    The partner has the same path with the second name in that place; capitals do not matter.
    """
    lower = {path.relative_to(root).as_posix().lower(): path for path in tree}
    sites = []
    for name, folder in lower.items():
        parts = name.split("/")
        if sides[0].lower() not in parts or not tree[folder]:
            continue
        place = parts.index(sides[0].lower())
        partner = lower.get("/".join([*parts[:place], sides[1].lower(), *parts[place + 1 :]]))
        if partner is not None and tree[partner]:
            layout = f"{_relative(folder, root)} + {_relative(partner, root)}"
            sites.append(Site(folder, layout, tuple(tree[folder]), tuple(tree[partner])))
    return sites


def find_sites(tree: Tree, root: Path) -> list[Site]:
    """Return every site with both roles under `root`; the folders of one site never start another."""
    children, used, sites = _children(tree), set[Path](), list[Site]()
    for folder in tree:
        kids = [kid for kid in children[folder] if kid not in used]
        found = _folder_sites(tree, root, kids)
        if not found and folder not in used:
            site = _file_site(tree, root, folder, kids)
            found = [site] if site else []
        for site in found:
            used |= {path.parent for path in (*site.degraded, *site.clean, *site.mask)}
        sites += found
    return sites
