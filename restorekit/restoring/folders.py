"""Restoring many files: one after the other, and what became of each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from restorekit.data.images import Picture, WriteOptions, read_header, read_picture, to_srgb, write_picture
from restorekit.data.images.writing import losses
from restorekit.errors import DataError, RestorekitError, missing_package
from restorekit.files import is_fatal, make_folder, write_failure
from restorekit.leftovers import remove_stale
from restorekit.outofmemory import is_out_of_memory
from restorekit.restoring.joblog import JobLog
from restorekit.restoring.planning import Job, plan_jobs
from restorekit.restoring.strips import LARGE
from restorekit.restoring.video import VideoOptions, restore_video

if TYPE_CHECKING:
    from restorekit.restoring.restorer import BaseRestorer


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """How pictures are written (`writing`), and whether colours become sRGB before they are restored (`to_srgb`)."""

    writing: WriteOptions = field(default_factory=WriteOptions)
    to_srgb: bool = False


@dataclass
class Report:
    """What became of each file.

    `restored`: what was written. `skipped`: inputs whose result is there already.
    `failed`: (file, message). `notes`: (file, what could not be kept).

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
    suffix: str = "",
    progress: Progress | None = None,
    video: VideoOptions | None = None,
    files: FileOptions | None = None,
) -> Report:
    """Restore files and folders into `out`: see `plan_jobs` and `run_jobs`."""
    jobs = plan_jobs(inputs, out, overwrite=overwrite, recursive=recursive, format=format, suffix=suffix)
    return run_jobs(jobs, restorer, progress, video=video, files=files)


def run_jobs(
    jobs: Iterable[Job],
    restorer: BaseRestorer,
    progress: Progress | None = None,
    *,
    video: VideoOptions | None = None,
    frames: FrameProgress | None = None,
    files: FileOptions | None = None,
    log: JobLog | None = None,
) -> Report:
    """Restore one file after the other, while the next one is read and the last one written; clips after all pictures.

    A file that fails is reported and the others go on; when the disk is full the rest is not tried.
    `progress` is called after every file with the job, how many are finished, and how many there are; `frames` after
    every frame of a clip with the job, how many of its frames are finished, and how many it has (None if unknown).
    `log` gets a line for every file. At most two pictures are in memory besides the one in work, and none besides one
    of 16 megapixels or more. Raises `DataError` when the folder of the results cannot be made.
    """
    jobs = list(jobs)
    report = Report(skipped=[job.source for job in jobs if job.done])
    waiting = [job for job in jobs if not job.done]
    finished = len(report.skipped)
    if waiting:
        _make_writable(waiting[0].target.parent)
    for folder in dict.fromkeys(job.target.parent for job in jobs):
        remove_stale(folder)
    if log:
        log.add_skipped(jobs)
    written = _write_behind([job for job in waiting if not job.clip], restorer, files or FileOptions())
    clips: Iterator[tuple[Job, Callable[[], _Done]]] = (
        (job, partial(_restore_clip, job, restorer, video, frames)) for job in waiting if job.clip
    )
    for job, result in chain(written, clips):
        error = _finish(job, result, report, log)
        finished += 1
        if progress:
            progress(job, finished, len(jobs))
        if error is not None and is_fatal(error):
            report.stopped = f"{len(jobs) - finished} file(s) were not tried, because none could be written"
            break
    return report


def _make_writable(folder: Path) -> None:
    """Make the folder of results before anything is computed for it. Raises `DataError` when that cannot be."""
    make_folder(folder)
    if not os.access(folder, os.W_OK):
        raise DataError(f"{folder}: nothing may be written there; change its permissions, or -o")


@dataclass(frozen=True)
class _Done:
    """What became of a file that was read. `broken`: why only a part of it could be restored."""

    notes: tuple[str, ...]
    seconds: float
    broken: str = ""


def _finish(
    job: Job, result: Callable[[], _Done], report: Report, log: JobLog | None
) -> RestorekitError | OSError | None:
    """Wait for one file; note in `report` and `log` what became of it, and return an error of writing."""
    error, started = None, time.perf_counter()
    try:
        done = result()
    except Exception as raised:  # a plugin's network may raise anything, and it may be this image only
        error = raised if isinstance(raised, (RestorekitError, OSError)) else None
        done = _Done((), time.perf_counter() - started, _why(job, raised))
    report.notes += [(job.source, note) for note in done.notes]
    if done.broken:
        report.failed.append((job.source, done.broken))
    else:
        report.restored.append(job.target)
    if log:
        reason = done.broken or "; ".join(done.notes)
        log.add(job.source, job.target, "failed" if done.broken else "restored", done.seconds, reason)
    return error


def _why(job: Job, error: Exception) -> str:
    """Say in one sentence why a file failed."""
    if isinstance(error, RestorekitError):
        return str(error)
    if isinstance(error, OSError):
        return f"{job.target}: {write_failure(error)}"
    if isinstance(error, ImportError):
        return f"{job.source}: {missing_package(error)}"
    if is_out_of_memory(error):
        return (
            f"{job.source}: not enough memory to restore it; close other programs, or use a smaller --tile, such as 256"
        )
    return f"{job.source}: the model failed ({type(error).__name__}: {error})"


def _restore_clip(job: Job, restorer: BaseRestorer, video: VideoOptions | None, frames: FrameProgress | None) -> _Done:
    def tick(done: int, total: int | None) -> None:
        if frames:
            frames(job, done, total)

    started = time.perf_counter()
    clip = restore_video(job.source, job.target, restorer, options=video, overwrite=job.overwrite, progress=tick)
    notes = list(clip.notes)
    if clip.resumed:
        notes.append(f"{clip.resumed} of its {clip.frames} frames were restored by an earlier run")
    return _Done(tuple(notes), time.perf_counter() - started, clip.broken)


def _write_behind(
    jobs: Sequence[Job], restorer: BaseRestorer, files: FileOptions
) -> Iterator[tuple[Job, Callable[[], _Done]]]:
    """Yield each job with what waits for its written file; meanwhile the next picture is computed."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="restorekit-write") as pool:
        before: tuple[Job, Callable[[], _Done]] | None = None
        for job, read, large in _read_ahead(jobs):
            computed = _computed(job, read, restorer, files)
            if before:  # before this one is written: where the disk is full, it must not be tried
                yield before
            before = job, pool.submit(computed).result
            if large:
                yield before
                before = None
        if before:
            yield before


def _computed(job: Job, read: Callable[[], Picture], restorer: BaseRestorer, files: FileOptions) -> Callable[[], _Done]:
    """Restore one picture; return what writes it, or raises what went wrong."""
    started = time.perf_counter()
    try:
        picture = to_srgb(read()) if files.to_srgb else read()
        losses(job.target, picture, files.writing)  # what cannot be written is refused before it is computed
        return partial(_write, job, restorer.restore_picture(picture), files, started)
    except Exception as error:  # it is raised again where the file's turn has come
        return partial(_raise, error)


def _raise(error: Exception) -> _Done:
    raise error


def _write(job: Job, restored: Picture, files: FileOptions, started: float) -> _Done:
    job.target.parent.mkdir(parents=True, exist_ok=True)
    lost = write_picture(job.target, restored, files.writing)
    notes = (*restored.notes, *([job.note] if job.note else []), *lost)
    return _Done(notes, time.perf_counter() - started)


def _read_ahead(jobs: Sequence[Job]) -> Iterator[tuple[Job, Callable[[], Picture], bool]]:
    """Yield each job with what gives its picture and whether it is large; a thread reads the next one meanwhile."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="restorekit-read") as pool:
        upcoming: Future[Picture] | None = None
        large = bool(jobs) and _is_large(jobs[0].source)
        for job, following in zip(jobs, [*jobs[1:], None], strict=False):
            current = upcoming.result if upcoming else partial(read_picture, job.source)
            next_large = following is not None and _is_large(following.source)
            alone = following is None or large or next_large
            upcoming = None if alone or following is None else pool.submit(read_picture, following.source)
            yield job, current, large
            large = next_large


def _is_large(path: Path) -> bool:
    """Tell whether a picture is to be alone in memory; one that cannot be read is not."""
    try:
        header = read_header(path)
    except RestorekitError:
        return False
    return header.height * header.width >= LARGE
