"""The folder of installed data sets: its place, its records, and importing into it.

An imported split is ``ROOT/NAME/SPLIT/{degraded,clean,mask}/`` with ``set.json``, written beside and renamed
at the end.
"""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from restorekit.data.archives import SUFFIXES, Limits, is_archive, unpack_images
from restorekit.data.cards import DatasetCard, Sides
from restorekit.data.pairing import FilePair
from restorekit.data.plan import SplitPlan, plan_import
from restorekit.errors import DataError, RestorekitError
from restorekit.jsonfile import read_file
from restorekit.leftovers import held, remove_stale_folders
from restorekit.paths import chosen_folder

RECORD = "set.json"
KINDS = ("degraded", "clean", "mask")
ENVIRONMENT = "RESTOREKIT_DATA"


def data_root() -> Path:
    """Return the folder of data sets: ``$RESTOREKIT_DATA``, else ``datasets`` in the user's data folder."""
    if given := chosen_folder(ENVIRONMENT):
        return given
    from platformdirs import user_data_path

    return user_data_path("restorekit", appauthor=False) / "datasets"


@dataclass(frozen=True)
class Installed:
    """One imported split: its `folder`, `pairs`, whether it is `paired`, and what the import noted.

    `expected`: the smallest complete count, None when unknown. `missing`: what a complete split has besides,
    in words.
    """

    name: str
    split: str
    folder: Path
    pairs: tuple[FilePair, ...]
    paired: bool
    expected: int | None
    missing: str
    layout: str
    source: str

    @property
    def partial(self) -> bool:
        """Whether the split has fewer samples than a complete one."""
        return self.expected is not None and len(self.pairs) < self.expected


class _Pair(BaseModel):
    """One sample of a record: paths below the split's folder."""

    name: str
    degraded: Annotated[str, Field(min_length=1)]
    clean: str = ""
    mask: str = ""
    sides: Sides = ""

    def files(self, folder: Path) -> FilePair:
        clean, mask = (folder / path if path else None for path in (self.clean, self.mask))
        return FilePair(self.name, folder / self.degraded, clean, mask, self.sides)


class _Record(BaseModel):
    """What ``set.json`` says."""

    model_config = ConfigDict(extra="forbid")

    name: str
    split: str
    pairs: list[_Pair]
    paired: bool
    expected: int | None
    missing: str
    layout: str
    source: str


def _read(folder: Path) -> Installed:
    remedy = f"import the data set again with `restorekit data add {folder.parent.name} PATH --force`"
    record = read_file(folder / RECORD, _Record, remedy)
    values = record.model_dump(exclude={"pairs"})
    return Installed(folder=folder, pairs=tuple(pair.files(folder) for pair in record.pairs), **values)


def installed(name: str) -> dict[str, Installed]:
    """Return the imported splits of a data set by name, an empty dict when it is not installed.

    Raises `DataError` when a record is damaged, or when the folder was filled by hand.
    """
    home = data_root() / name
    records = sorted(home.glob(f"*/{RECORD}"))
    if not records and home.is_dir() and any(not path.name.startswith(".") for path in home.iterdir()):
        raise DataError(
            f"{home} holds files that were not imported. Move them elsewhere and run"
            f" `restorekit data add {name} THERE`."
        )
    return {record.parent.name: _read(record.parent) for record in records}


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn an `OSError` while writing below `target` into a `DataError` that says what to do."""
    try:
        yield
    except OSError as error:
        place = error.filename or target
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = "the disk is full. Free some space"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            why = "it cannot be written"
        else:
            why = str(error.strerror or error)
        raise DataError(f"{place}: {why}, or set {ENVIRONMENT} to another folder; nothing was imported.") from error


def _target_name(path: Path, taken: dict[Path, str], used: set[str]) -> str:
    """A file name for `path` that no other file of the folder has."""
    if path not in taken:
        name, number = path.name, 1
        while name.lower() in used:
            number += 1
            name = f"{path.stem}-{number}{path.suffix}"
        taken[path] = name
        used.add(name.lower())
    return taken[path]


def _place(source: Path, target: Path, link: bool, move: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return  # several degraded images share one clean image
    if link:
        target.symlink_to(source.resolve())
    elif move:
        source.rename(target)
    else:
        shutil.copyfile(source, target)


def _write_files(plan: SplitPlan, folder: Path, link: bool, move: bool) -> list[dict[str, str]]:
    rows = []
    taken: dict[str, tuple[dict[Path, str], set[str]]] = {k: ({}, set()) for k in KINDS}
    for pair in plan.files.pairs:
        row = {"name": pair.name, "sides": pair.sides}
        for kind in KINDS:
            source: Path | None = getattr(pair, kind)
            if source is None:
                continue
            row[kind] = f"{kind}/{_target_name(source, *taken[kind])}"
            _place(source, folder / row[kind], link, move)
        rows.append(row)
    return rows


def _write_split(plan: SplitPlan, folder: Path, source: Path, link: bool, move: bool) -> None:
    rows = _write_files(plan, folder, link, move)
    values = {
        "name": plan.card.name,
        "split": plan.split,
        "paired": plan.files.paired,
        "expected": plan.expected,
        "missing": plan.missing,
        "layout": plan.files.layout,
        "source": str(source.resolve()),
        "pairs": rows,
    }
    (folder / RECORD).write_text(json.dumps(values, indent=1), encoding="utf-8")


def _publish(new: Path, final: Path, aside: Path) -> None:
    """Rename `new` to `final`; an older `final` goes aside first and comes back when that fails."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if not final.exists():
        new.rename(final)
        return
    final.rename(aside)
    try:
        new.rename(final)
    except OSError:
        aside.rename(final)
        raise


def _refuse_existing(plans: Sequence[SplitPlan], home: Path) -> None:
    present = [plan.split for plan in plans if (home / plan.split).exists()]
    if present:
        raise DataError(
            f"{home.name} is already installed ({', '.join(present)}) in {home}; nothing was changed."
            " Give --force to replace it."
        )


def _check_space(plans: Sequence[SplitPlan], root: Path) -> None:
    sources = {path for plan in plans for p in plan.files.pairs for path in (p.degraded, p.clean, p.mask) if path}
    needed = sum(path.stat().st_size for path in sources)
    free = shutil.disk_usage(root).free
    if needed > free:
        raise DataError(
            f"{root}: {needed / 2**20:,.0f} MiB are needed and {free / 2**20:,.0f} MiB are free. Free some"
            " space, use"
            f" --link, or set {ENVIRONMENT} to another folder; nothing was imported."
        )


@dataclass(frozen=True)
class ImportOptions:
    """How to import.

    `split`: for images whose folders name none. `force`: replace what is there. `link`: do not copy.
    `sides`: the order when both images lie in one picture. `limits`: for archives.
    """

    split: str | None = None
    force: bool = False
    link: bool = False
    sides: Sides = ""
    limits: Limits | None = None


def import_set(card: DatasetCard, source: Path | str, options: ImportOptions | None = None) -> list[Installed]:
    """Import a folder or an archive as the data set of `card`; returns what is now installed from it.

    Files without partner are left out and said in `Installed.missing`; a part of a set is accepted.

    Raises `DataError` when the source is missing, unsafe, holds no pairs or pairs of different sizes, when
    the split is already there and `force` is not set, or when the root cannot be written; then nothing is
    imported.
    """
    source, options, root = Path(source), options or ImportOptions(), data_root()
    _check_source(source, options, root / card.name)
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        remove_stale_folders(root, ".incoming-*")
        staging = Path(tempfile.mkdtemp(prefix=f".incoming-{card.name}-", dir=root))
    try:
        with writing(root), held(staging):
            return _import(card, source, options, root, staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_source(source: Path, options: ImportOptions, home: Path) -> None:
    if not source.exists():
        raise DataError(f"{source}: no such file or folder.")
    if source.is_file() and not is_archive(source):
        raise DataError(f"{source}: not an archive that can be imported; use a folder or {', '.join(SUFFIXES)}.")
    if source.is_file() and options.link:
        raise DataError(f"{source}: --link needs a folder; the files of an archive cannot be linked to.")
    if options.link and source.resolve().is_relative_to(home.resolve()):
        raise DataError(
            f"{source}: these are the installed files of {home.name}; links to them would replace them and lead"
            " nowhere. Leave --link out, or give the folder that they came from; nothing was changed."
        )


def _import(card: DatasetCard, source: Path, options: ImportOptions, root: Path, staging: Path) -> list[Installed]:
    folder = source
    if source.is_file():
        folder = staging / "unpacked" / source.name.split(".")[0]
        folder.mkdir(parents=True)
        unpack_images(source, folder, options.limits)
    plans = _plans(card, source, folder, options)
    home = root / card.name
    if not options.force:
        _refuse_existing(plans, home)
    if folder is source and not options.link:
        _check_space(plans, root)
    for plan in plans:
        _write_split(plan, staging / plan.split, source, options.link, move=folder is not source)
    for plan in plans:
        _publish(staging / plan.split, home / plan.split, staging / f"old-{plan.split}")
    return [_read(home / plan.split) for plan in plans]


def _plans(card: DatasetCard, source: Path, folder: Path, options: ImportOptions) -> list[SplitPlan]:
    """Plan the import. A message about an archive names it, and not the place where it was unpacked for a moment."""
    try:
        return plan_import(card, folder, options.split, options.sides)
    except RestorekitError as error:
        if folder is source:
            raise
        raise type(error)(str(error).replace(str(folder), str(source))) from error


def describe(record: Installed) -> dict[str, object]:
    """Return a record as plain values for JSON, without the list of pairs."""
    values = asdict(record) | {
        "count": len(record.pairs),
        "folder": str(record.folder),
        "partial": record.partial,
    }
    del values["pairs"]
    return values
