"""Restoring many files: what goes where, checked before anything is computed."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from restorekit.data.images.formats import (
    ONLY_READ,
    OTHER_SUFFIXES,
    READABLE,
    SUFFIXES,
    format_of,
    is_image_name,
    result_name,
)
from restorekit.data.walking import walk
from restorekit.errors import DataError
from restorekit.restoring.lists import kept_name
from restorekit.restoring.video import can_read_clips, clip_target, is_animation, is_clip_name
from restorekit.restoring.video.names import container_of, require_av

MASK = "-mask"
"""What the name of a result's mask ends with."""


@dataclass(frozen=True)
class Job:
    """One file to restore, `source` to `target`. `done`: the target is there already and is to be kept.

    `clip`: it is a clip or an animation. `overwrite`: what an earlier run left of it may be replaced. `note`: what
    there is to say of its target.
    """

    source: Path
    target: Path
    done: bool = False
    clip: bool = False
    overwrite: bool = False
    note: str = ""


@dataclass(frozen=True)
class LeftOut:
    """What lies in the folders and is not restored: other files, and links that lead back to a folder above them."""

    files: tuple[Path, ...] = ()
    loops: tuple[Path, ...] = ()

    def counted(self) -> str:
        """Return the files by suffix, the most frequent first: ``3 .nef, 1 .txt, 1 without suffix``."""
        kinds = Counter(path.suffix.lower() or "without suffix" for path in self.files)
        return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item)))


def plan_jobs(
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    overwrite: bool = False,
    recursive: bool = True,
    format: str | None = None,
    suffix: str = "",
    listed: Sequence[Path] = (),
) -> list[Job]:
    """Say which file goes where, and check it before anything is computed.

    `out` is a folder, or, for a single input file, a file name with the suffix of an image or clip. Folders keep their
    inner tree, and links in them are followed; in them, hidden files, other files than images and clips, and what lies
    in `out` are left out. `format`: suffix of restored images, such as ``png``; by default that of each source, and
    ``png`` for kinds that are not written. `suffix`: text at the end of each result's name, as in ``a-clean.jpg``.
    `listed`: further files, which keep the folders that their paths name; a missing one fails when it is its turn.
    Raises `DataError` when an input is missing, there is nothing to restore, two inputs would give one file, an input
    would be overwritten, `format` is not that of a file name, or a folder is needed and `out` is the name of a file.
    """
    out, ending = Path(out), _ending(format)
    _check_out(inputs, out)
    _check_suffix(suffix)
    jobs: list[Job] = []
    for item in map(Path, inputs):
        if item.is_dir():
            found = _restored(item, out, recursive, suffix)
            jobs += [_job(source, out / source.relative_to(item), ending, suffix) for source in found]
        elif os.path.lexists(item):
            single = len(inputs) == 1 and _is_file_name(out) and not out.is_dir()
            jobs.append(_single(item, out, ending, suffix) if single else _job(item, out / item.name, ending, suffix))
        else:
            raise DataError(f"{item}: there is no such file or folder; check the path")
    jobs += [_job(path, out / kept_name(path), ending, suffix) for path in listed]
    if not jobs:
        names = ", ".join(str(item) for item in inputs) or "nothing"
        raise DataError(f"no images or clips in {names}; files that end in {', '.join(READABLE)} are restored")
    jobs = _apart(list(dict.fromkeys(jobs)))  # an input may be named twice
    _check_kinds(jobs)
    _check_targets(jobs)
    return [replace(job, done=not overwrite and _exists(job.target), overwrite=overwrite) for job in jobs]


def left_out(inputs: Iterable[str | Path], out: str | Path, *, recursive: bool = True) -> LeftOut:
    """Return what `plan_jobs` passes over in the folders among `inputs`, hidden files aside."""
    files: list[Path] = []
    loops: list[Path] = []
    for folder in (Path(item) for item in inputs if Path(item).is_dir()):
        files += [path for path in _files(folder, Path(out), recursive, loops) if not _is_restored(path)]
    return LeftOut(tuple(files), tuple(loops))


def is_clip(path: Path) -> bool:
    """Tell whether a file is restored frame by frame: a clip, or an animated picture."""
    return is_clip_name(path) or is_animation(path)


def _job(source: Path, target: Path, ending: str, suffix: str) -> Job:
    """Return the job of a file whose result keeps its name as far as that can be written."""
    clip, note = is_clip(source), ""
    if clip:
        target = clip_target(target)
    elif ending:
        target = target.with_suffix(ending)
    elif result_name(target) != target:
        note = f"written as PNG, since {target.suffix or 'a file without a suffix'} is not written"
        target = result_name(target)
    return Job(source, target.with_name(f"{target.stem}{suffix}{target.suffix}"), clip=clip, note=note)


def _single(source: Path, out: Path, ending: str, suffix: str) -> Job:
    if suffix:
        raise DataError(f"{out}: a file name and --suffix {suffix!r} both name the result; leave one of them out")
    clip = is_clip(source)
    if ending and not clip and format_of(out) != SUFFIXES[ending]:
        raise DataError(f"{out}: its name and --format {ending[1:]} say two formats; leave --format out, or rename it")
    return Job(source, out, clip=clip)


def _apart(jobs: list[Job]) -> list[Job]:
    """Give a result that became a PNG its source's whole name where another result has that name: ``a.bmp.png``."""
    count = Counter(job.target for job in jobs)
    return [
        replace(job, target=job.target.with_name(f"{job.target.stem}{job.source.suffix}.png"))
        if job.note and count[job.target] > 1
        else job
        for job in jobs
    ]


def _is_file_name(out: Path) -> bool:
    """Tell whether `out` reads as the name of one result and not of a folder."""
    return is_image_name(out) or is_clip_name(out)


def _is_restored(path: Path) -> bool:
    """Tell whether a file in a folder is among what is restored."""
    return is_image_name(path) or (can_read_clips() and is_clip_name(path))


def _check_kinds(jobs: Sequence[Job]) -> None:
    """Refuse an image's name for a clip and the other way round, and clips where PyAV is missing."""
    for job in jobs:
        source, target = job.source, job.target
        if not job.clip:
            if is_clip_name(target):
                raise DataError(f"{target}: {source} is no clip; give a name that ends like an image, or a folder")
            format_of(target)
        elif is_clip_name(source):
            require_av(source)
            container_of(target)
        elif target.suffix.lower() != source.suffix.lower():
            raise DataError(f"{target}: an animation keeps its format; give a name that ends in {source.suffix}")


def _check_single(out: Path) -> None:
    """Refuse a name for one picture that ends like a picture, or nearly so, but not like one that is written."""
    suffix = out.suffix.lower()
    mistyped = suffix not in SUFFIXES and difflib.get_close_matches(suffix, SUFFIXES, cutoff=0.7)
    if suffix in OTHER_SUFFIXES or suffix in ONLY_READ or mistyped:
        format_of(out)  # raises


def _check_out(inputs: Sequence[str | Path], out: Path) -> None:
    """Refuse the name of a file for what has to be a folder, and of one that cannot be written."""
    if not out.is_dir() and len(inputs) == 1 and Path(inputs[0]).is_file() and not is_clip(Path(inputs[0])):
        _check_single(out)
    if not _is_file_name(out) or out.is_dir():
        return
    if len(inputs) != 1 or Path(inputs[0]).is_dir():
        given = f"{len(inputs)} inputs" if len(inputs) != 1 else f"the folder {inputs[0]}"
        kind = "clip" if is_clip_name(out) else "image"
        raise DataError(
            f"{out} is the name of one {kind}, and {given} may give many; give a folder's name, such as"
            f" {out.with_suffix('')}"
        )


def _check_suffix(suffix: str) -> None:
    if any(sign in suffix for sign in '/\\\0:*?"<>|'):
        raise DataError(f"--suffix {suffix!r} cannot be a part of a file name; give text such as -clean")


def _restored(folder: Path, out: Path, recursive: bool, suffix: str) -> list[Path]:
    """Return the images and clips of a folder, sorted; without hidden ones, those in `out`, and earlier results."""
    found = [path for path in _files(folder, out, recursive, []) if _is_restored(path)]
    if not suffix:
        return found
    stems = {path.with_suffix("") for path in found}
    return [path for path in found if not _is_result(path, suffix, stems)]


def _is_result(path: Path, suffix: str, stems: set[Path]) -> bool:
    """Tell whether `path` is an earlier result, or the mask of one, of a file among `stems`."""
    names = (path.stem, path.stem.removesuffix(MASK))
    return any(name.endswith(suffix) and path.with_name(name.removesuffix(suffix)) in stems for name in names)


def _files(folder: Path, out: Path, recursive: bool, loops: list[Path]) -> list[Path]:
    own = os.path.realpath(out)
    found: list[Path] = []
    for here, folders, names in walk(folder, loops.append):
        inner = [name for name in folders if not name.startswith(".") and os.path.realpath(here / name) != own]
        folders[:] = inner if recursive else []
        found += [here / name for name in names if not name.startswith(".")]
    return sorted(found)


def _exists(path: Path) -> bool:
    """`Path.exists` raises for names that are too long and for links to themselves; writing will say what is wrong."""
    return os.path.exists(path)  # noqa: PTH110


def _ending(format: str | None) -> str:
    if not format:
        return ""
    ending = "." + format.lower().lstrip(".")
    format_of(f"--format {ending}")
    return ending


def _check_targets(jobs: Sequence[Job]) -> None:
    sources = {os.path.realpath(job.source) for job in jobs}
    taken: dict[str, Path] = {}
    for job in jobs:
        real = os.path.realpath(job.target)
        if real in sources:
            raise DataError(f"{job.target}: an input would be overwritten; choose another output folder with -o")
        first = taken.setdefault(os.path.normcase(real), job.source)
        if first != job.source:
            raise DataError(
                f"{job.target}: both {first} and {job.source} would be written there; restore them into two folders,"
                " or rename one"
            )
