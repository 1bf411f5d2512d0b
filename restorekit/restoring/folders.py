"""Restoring many files: what goes where, what is done already, and what failed."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from restorekit.data.images import Picture, is_image_name, read_picture, write_picture
from restorekit.data.images.formats import ONLY_READ, OTHER_SUFFIXES, SUFFIXES, format_of, result_name
from restorekit.data.images.writing import is_fatal, losses, write_failure
from restorekit.errors import DataError, RestorekitError, missing_package
from restorekit.restoring.video import (
    VideoOptions,
    can_read_clips,
    clip_target,
    is_animation,
    is_clip_name,
    restore_video,
)
from restorekit.restoring.video.names import container_of, require_av

if TYPE_CHECKING:
    from restorekit.restoring.restorer import BaseRestorer


@dataclass(frozen=True)
class Job:
    """One file to restore. `done`: its target is there already and is to be kept.

    `clip`: it is a clip or an animation. `overwrite`: what an earlier run left of it may be replaced.
    """

    source: Path
    target: Path
    done: bool = False
    clip: bool = False
    overwrite: bool = False


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
FrameProgress = Callable[[Job, int, int | None], None]


def restore_paths(
    inputs: Sequence[str | Path],
    out: str | Path,
    restorer: BaseRestorer,
    *,
    overwrite: bool = False,
    recursive: bool = True,
    format: str | None = None,
    progress: Progress | None = None,
    video: VideoOptions | None = None,
) -> Report:
    """Restore files and folders into `out`: see `plan_jobs` and `run_jobs`."""
    jobs = plan_jobs(inputs, out, overwrite=overwrite, recursive=recursive, format=format)
    return run_jobs(jobs, restorer, progress, video=video)


def plan_jobs(
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    overwrite: bool = False,
    recursive: bool = True,
    format: str | None = None,
) -> list[Job]:
    """Say which file goes where, and check it before anything is computed.

    `out` is a folder, or, for a single input file, a file name with the suffix of an image or clip. Folders keep their
    inner tree; in them, hidden files, other files than images and clips, and what lies in `out` are left out. `format`:
    suffix of restored images, such as ``png``; by default that of each source. Raises `DataError` when an input
    is missing, there is nothing to restore, two inputs would give one file, an input would be overwritten,
    `format` is not that of a file name, or a folder is needed and `out` is the name of a file.
    """
    out = Path(out)
    suffix = _suffix(format)
    _check_out(inputs, out)
    pairs: list[tuple[Path, Path]] = []
    for item in map(Path, inputs):
        if item.is_dir():
            found = _images(item, out, recursive)
            pairs += [(source, out / _result_name(source, source.relative_to(item))) for source in found]
        elif item.exists():
            single = len(inputs) == 1 and _is_file_name(out) and not out.is_dir()
            pairs.append((item, out if single else out / _result_name(item, Path(item.name))))
        else:
            raise DataError(f"{item}: there is no such file or folder; check the path")
    if not pairs:
        names = ", ".join(str(item) for item in inputs) or "nothing"
        raise DataError(f"no images or clips in {names}; files that end in {', '.join(SUFFIXES)} are restored")
    clips = {source for source, _ in pairs if is_clip(source)}
    _check_kinds(pairs, clips)
    if suffix and pairs[0][1] == out and not clips:
        _check_suffix(out, suffix)
    elif suffix:
        pairs = [(source, target if source in clips else target.with_suffix(suffix)) for source, target in pairs]
    pairs = list(dict.fromkeys(pairs))  # an input may be named twice
    _check_targets(pairs)
    return [
        Job(source, target, not overwrite and target.exists(), source in clips, overwrite) for source, target in pairs
    ]


def left_out(inputs: Iterable[str | Path], out: str | Path, *, recursive: bool = True) -> list[Path]:
    """Return the pictures and clips in folders among `inputs` that `plan_jobs` passes over, as it cannot read them."""
    folders = [Path(item) for item in inputs if Path(item).is_dir()]
    return [
        path
        for folder in folders
        for path in _files(folder, Path(out), recursive)
        if (path.suffix.lower() in OTHER_SUFFIXES or is_clip_name(path)) and not _is_restored(path)
    ]


def is_clip(path: Path) -> bool:
    """Tell whether a file is restored frame by frame: a clip, or an animated picture."""
    return is_clip_name(path) or is_animation(path)


def _result_name(source: Path, name: Path) -> Path:
    """Return the name of a file's result: its own, or that of a PNG or Matroska file where its kind is not written."""
    return clip_target(name) if is_clip(source) else result_name(name)


def _is_file_name(out: Path) -> bool:
    """Tell whether `out` reads as the name of one result and not of a folder."""
    return is_image_name(out) or is_clip_name(out) or out.suffix.lower() == ".gif"


def _is_restored(path: Path) -> bool:
    """Tell whether a file in a folder is among what is restored."""
    return is_image_name(path) or (can_read_clips() if is_clip_name(path) else is_animation(path))


def _check_kinds(pairs: Sequence[tuple[Path, Path]], clips: Container[Path]) -> None:
    """Refuse an image's name for a clip and the other way round, and clips where PyAV is missing."""
    for source, target in pairs:
        if source not in clips:
            if is_clip_name(target):
                raise DataError(f"{target}: {source} is no clip; give a name that ends like an image, or a folder")
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


def run_jobs(
    jobs: Iterable[Job],
    restorer: BaseRestorer,
    progress: Progress | None = None,
    *,
    video: VideoOptions | None = None,
    frames: FrameProgress | None = None,
) -> Report:
    """Restore one file after the other, while the next one is being read; clips after all pictures.

    A file that fails is reported and the others go on; when the disk is full the rest is not tried.
    `progress` is called after every file with the job, how many are finished, and how many there are; `frames` after
    every frame of a clip with the job, how many of its frames are finished, and how many it has (None if unknown). At
    most two pictures are in memory besides the one in work. Raises `DataError` when the folder of the results
    cannot be made.
    """
    jobs = list(jobs)
    report = Report(skipped=[job.source for job in jobs if job.done])
    waiting = [job for job in jobs if not job.done]
    finished = len(report.skipped)
    if waiting:
        _make_writable(waiting[0].target.parent)
    pictures = [job for job in waiting if not job.clip]
    for job, read in chain(_read_ahead(pictures), ((job, None) for job in waiting if job.clip)):
        picture = read and partial(_finish_picture, job, read, restorer, report)
        error = _finish(job, picture or partial(_finish_clip, job, restorer, report, video, frames), report)
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


def _finish(job: Job, restore: Callable[[], None], report: Report) -> RestorekitError | OSError | None:
    """Restore and write one file; note a failure in `report`, and return an error of writing."""
    try:
        restore()
    except RestorekitError as error:
        report.failed.append((job.source, str(error)))
        return error
    except OSError as error:
        report.failed.append((job.source, f"{job.target}: {write_failure(error)}"))
        return error
    except ImportError as error:
        report.failed.append((job.source, f"{job.source}: {missing_package(error)}"))
    except Exception as error:  # a plugin's network may raise anything, and it may be this image only
        report.failed.append((job.source, f"{job.source}: the model failed ({type(error).__name__}: {error})"))
    return None


def _finish_picture(job: Job, read: Future[Picture], restorer: BaseRestorer, report: Report) -> None:
    picture = read.result()
    restored = restorer.restore_picture(picture)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    write_picture(job.target, restored)
    report.restored.append(job.target)
    notes = (*picture.notes, *losses(job.target, picture))
    report.notes += [(job.source, note) for note in notes]


def _finish_clip(
    job: Job, restorer: BaseRestorer, report: Report, video: VideoOptions | None, frames: FrameProgress | None
) -> None:
    def tick(done: int, total: int | None) -> None:
        if frames:
            frames(job, done, total)

    clip = restore_video(job.source, job.target, restorer, options=video, overwrite=job.overwrite, progress=tick)
    report.notes += [(job.source, note) for note in clip.notes]
    if clip.resumed:
        report.notes.append((job.source, f"{clip.resumed} of its {clip.frames} frames were restored by an earlier run"))
    if clip.broken:
        report.failed.append((job.source, clip.broken))
    else:
        report.restored.append(job.target)


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
    """Return the images and clips of a folder, sorted; without hidden ones and those in `out`."""
    return [path for path in _files(folder, out, recursive) if _is_restored(path)]


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
