"""Restoring many files: what goes where, what is done already, and what failed."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from restorekit.data.images import Picture, is_image_name, read_picture, write_picture
from restorekit.data.images.formats import OTHER_SUFFIXES, SUFFIXES, format_of
from restorekit.data.images.writing import is_fatal, losses, write_failure
from restorekit.errors import DataError, RestorekitError

if TYPE_CHECKING:
    from restorekit.restore.restorer import BaseRestorer


@dataclass(frozen=True)
class Job:
    """One file to restore. `done`: its target is there already and is to be kept."""

    source: Path
    target: Path
    done: bool = False


@dataclass
class Report:
    """What became of each file. `failed`: (file, message). `notes`: (file, what could not be kept).

    `stopped`: why the rest was not tried, or an empty string.
    """

    restored: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)
    stopped: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed and not self.stopped

    def summary(self) -> str:
        """Return one line of counts, such as ``"3 restored, 1 skipped, 0 failed"``."""
        return f"{len(self.restored)} restored, {len(self.skipped)} skipped, {len(self.failed)} failed"


Progress = Callable[[Job, int, int], None]


def restore_paths(
    inputs: Sequence[str | Path],
    out: str | Path,
    restorer: BaseRestorer,
    *,
    overwrite: bool = False,
    recursive: bool = True,
    format: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Restore files and folders into `out`: see `plan_jobs` and `run_jobs`."""
    jobs = plan_jobs(inputs, out, overwrite=overwrite, recursive=recursive, format=format)
    return run_jobs(jobs, restorer, progress)


def plan_jobs(
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    overwrite: bool = False,
    recursive: bool = True,
    format: str | None = None,
) -> list[Job]:
    """Say which file goes where, and check it before anything is computed.

    `out` is a folder, or, for a single input file, a file name with an image suffix. Folders keep their inner
    tree; in them, hidden files, other files than images, and what lies in `out` are left out. `format`:
    suffix of the results, such as ``png``; by default that of each source. Raises `DataError` when an input
    is missing, there is nothing to restore, two inputs would give one file, an input would be overwritten,
    `format` is not that of a file name, or a folder is needed and `out` is the name of an image.
    """
    out = Path(out)
    suffix = _suffix(format)
    _check_out(inputs, out)
    pairs: list[tuple[Path, Path]] = []
    for item in map(Path, inputs):
        if item.is_dir():
            pairs += [(source, out / source.relative_to(item)) for source in _images(item, out, recursive)]
        elif item.exists():
            single = len(inputs) == 1 and is_image_name(out) and not out.is_dir()
            pairs.append((item, out if single else out / item.name))
        else:
            raise DataError(f"{item}: there is no such file or folder; check the path")
    if not pairs:
        names = ", ".join(str(item) for item in inputs) or "nothing"
        raise DataError(f"no images in {names}; files that end in {', '.join(SUFFIXES)} are restored")
    if suffix and pairs[0][1] == out:
        _check_suffix(out, suffix)
    elif suffix:
        pairs = [(source, target.with_suffix(suffix)) for source, target in pairs]
    pairs = list(dict.fromkeys(pairs))  # an input may be named twice
    _check_targets(pairs)
    return [Job(source, target, not overwrite and target.exists()) for source, target in pairs]


def left_out(inputs: Iterable[str | Path], out: str | Path, *, recursive: bool = True) -> list[Path]:
    """Return the pictures in folders among `inputs` that `plan_jobs` passes over: of formats that are not supported."""
    folders = [Path(item) for item in inputs if Path(item).is_dir()]
    return [
        path
        for folder in folders
        for path in _files(folder, Path(out), recursive)
        if path.suffix.lower() in OTHER_SUFFIXES
    ]


def _check_single(out: Path) -> None:
    """Refuse a name for one picture that ends like a picture, or nearly so, but not like one that is written."""
    suffix = out.suffix.lower()
    mistyped = suffix not in SUFFIXES and difflib.get_close_matches(suffix, SUFFIXES, cutoff=0.7)
    if suffix in OTHER_SUFFIXES or mistyped:
        format_of(out)  # raises


def _check_out(inputs: Sequence[str | Path], out: Path) -> None:
    """Refuse the name of an image for what has to be a folder, and of one that cannot be written."""
    if not out.is_dir() and len(inputs) == 1 and Path(inputs[0]).is_file():
        _check_single(out)
    if not is_image_name(out) or out.is_dir():
        return
    if len(inputs) != 1 or Path(inputs[0]).is_dir():
        given = f"{len(inputs)} inputs" if len(inputs) != 1 else f"the folder {inputs[0]}"
        raise DataError(
            f"{out} is the name of one image, and {given} may give many; give a folder's name, such as"
            f" {out.with_suffix('')}"
        )


def run_jobs(jobs: Iterable[Job], restorer: BaseRestorer, progress: Progress | None = None) -> Report:
    """Restore one file after the other, while the next one is being read.

    A file that fails is reported and the others go on; when the disk is full the rest is not tried.
    `progress` is called after every file with the job, how many are finished, and how many there are. At most
    two pictures are in memory besides the one in work. Raises `DataError` when the folder of the results
    cannot be made.
    """
    jobs = list(jobs)
    report = Report(skipped=[job.source for job in jobs if job.done])
    waiting = [job for job in jobs if not job.done]
    finished = len(report.skipped)
    if waiting:
        _make_writable(waiting[0].target.parent)
    for job, read in _read_ahead(waiting):
        error = _finish(job, read, restorer, report)
        finished += 1
        if progress:
            progress(job, finished, len(jobs))
        if error is not None and is_fatal(error):
            report.stopped = f"{len(jobs) - finished} file(s) were not tried, because none could be written"
            break
    return report


def _make_writable(folder: Path) -> None:
    """Make the folder of results before anything is computed for it. Raises `DataError` when that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: {write_failure(error)}") from error
    if not os.access(folder, os.W_OK):
        raise DataError(f"{folder}: nothing may be written there; change its permissions, or -o")


def _finish(
    job: Job, read: Future[Picture], restorer: BaseRestorer, report: Report
) -> RestorekitError | OSError | None:
    """Restore and write one file; note the outcome in `report`, and return an error of writing."""
    try:
        picture = read.result()
        restored = restorer.restore_picture(picture)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        write_picture(job.target, restored)
    except RestorekitError as error:
        report.failed.append((job.source, str(error)))
        return error
    except OSError as error:
        report.failed.append((job.source, f"{job.target}: {write_failure(error)}"))
        return error
    except Exception as error:  # a plugin's network may raise anything, and it may be this image only
        report.failed.append((job.source, f"{job.source}: the model failed ({type(error).__name__}: {error})"))
        return None
    report.restored.append(job.target)
    notes = (*picture.notes, *losses(job.target, picture))
    report.notes += [(job.source, note) for note in notes]
    return None


def _read_ahead(jobs: Sequence[Job]) -> Iterator[tuple[Job, Future[Picture]]]:
    """Yield each job with its picture; the next one is read by a thread meanwhile."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="restorekit-read") as pool:
        upcoming = pool.submit(read_picture, jobs[0].source) if jobs else None
        for index, job in enumerate(jobs):
            assert upcoming is not None
            current = upcoming
            if index + 1 < len(jobs):
                upcoming = pool.submit(read_picture, jobs[index + 1].source)
            yield job, current


def _images(folder: Path, out: Path, recursive: bool) -> list[Path]:
    """Return the image files of a folder, sorted; without hidden ones and those in `out`."""
    return [path for path in _files(folder, out, recursive) if is_image_name(path)]


def _files(folder: Path, out: Path, recursive: bool) -> list[Path]:
    own = out.resolve()
    found: list[Path] = []

    def failed(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); change its permissions, or leave it out")

    for parent, folders, names in os.walk(folder, onerror=failed):
        here = Path(parent)
        inner = [name for name in sorted(folders) if not name.startswith(".") and (here / name).resolve() != own]
        folders[:] = inner if recursive else []
        found += [here / name for name in names if not name.startswith(".")]
    return sorted(found)


def _suffix(format: str | None) -> str:
    if not format:
        return ""
    suffix = "." + format.lower().lstrip(".")
    format_of(f"--format {suffix}")
    return suffix


def _check_suffix(out: Path, suffix: str) -> None:
    """Raise `DataError` when the name of a single result says another format than `suffix`."""
    if format_of(out) != SUFFIXES[suffix]:
        raise DataError(f"{out}: its name and --format {suffix[1:]} say two formats; leave --format out, or rename it")


def _check_targets(pairs: list[tuple[Path, Path]]) -> None:
    sources = {source.resolve() for source, _ in pairs}
    taken: dict[str, Path] = {}
    for source, target in pairs:
        if target.resolve() in sources:
            raise DataError(f"{target}: an input would be overwritten; choose another output folder with -o")
        first = taken.setdefault(os.path.normcase(target.resolve()), source)
        if first != source:
            raise DataError(
                f"{target}: both {first} and {source} would be written there; restore them into two folders,"
                " or rename one"
            )
