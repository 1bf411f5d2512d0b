"""Restoring many files: one after the other, and what became of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from restorekit.data.images import Picture, WriteOptions, read_picture, to_srgb, write_picture
from restorekit.data.images.writing import is_fatal, losses, write_failure
from restorekit.errors import DataError, RestorekitError, missing_package
from restorekit.leftovers import remove_stale
from restorekit.outofmemory import is_out_of_memory
from restorekit.restoring.planning import Job, plan_jobs
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
    """What became of each file. `restored`: what was written. `skipped`: inputs whose result is there already.
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
    for folder in dict.fromkeys(job.target.parent for job in jobs):
        remove_stale(folder)
    pictures = [job for job in waiting if not job.clip]
    for job, read in chain(_read_ahead(pictures), ((job, None) for job in waiting if job.clip)):
        picture = read and partial(_finish_picture, job, read, restorer, report, files or FileOptions())
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
        why = f"the model failed ({type(error).__name__}: {error})"
        if is_out_of_memory(error):
            why = "not enough memory to restore it; close other programs, or use a smaller --tile, such as 256"
        report.failed.append((job.source, f"{job.source}: {why}"))
    return None


def _finish_picture(
    job: Job, read: Future[Picture], restorer: BaseRestorer, report: Report, files: FileOptions
) -> None:
    picture = to_srgb(read.result()) if files.to_srgb else read.result()
    losses(job.target, picture, files.writing)  # what cannot be written is refused before it is computed
    restored = restorer.restore_picture(picture)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    lost = write_picture(job.target, restored, files.writing)
    report.restored.append(job.target)
    report.notes += [(job.source, note) for note in (*picture.notes, *([job.note] if job.note else []), *lost)]


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
