"""Decoding, computing and encoding at the same time, and what is done when one of them stops."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import av
import numpy as np

from restorekit.errors import DataError
from restorekit.files import write_failure
from restorekit.restoring.video.clip import VideoProgress, VideoReport
from restorekit.restoring.video.joining import check_streams, join
from restorekit.restoring.video.names import container_of, partial_of
from restorekit.restoring.video.options import Encoder, VideoOptions
from restorekit.restoring.video.pieces import Pieces, PieceWriter
from restorekit.restoring.video.source import Clip, Frame, open_clip
from restorekit.version import __version__

if TYPE_CHECKING:
    from restorekit.restoring.restorer import BaseRestorer

_AHEAD = 2  # frames that wait between decoding and computing, and between computing and encoding


@dataclass
class _Times:
    """When frames are shown, in ticks: `starts`, and the `end` of the last. `stopped`: there are more."""

    starts: list[int] = field(default_factory=list)
    end: int = 0
    stopped: bool = False


def restore_clip(
    source: Path,
    target: Path,
    restorer: BaseRestorer,
    options: VideoOptions,
    progress: VideoProgress | None,
    cancel: Event | None,
) -> VideoReport:
    """Restore one clip: see `restore_video`."""
    with open_clip(source) as clip:
        encoder = _encoder(clip, target, options)
        notes = (*clip.info.notes, *check_streams(clip.info, target))
        pieces = Pieces(target)
        done = pieces.open(_plan(source, restorer, options, encoder))
        try:
            writer = PieceWriter(pieces, clip.info, encoder, options)
            times = _restore(clip, writer, restorer, done, progress, cancel)
            if times.stopped:
                return VideoReport(source, None, pieces.frames(), done, notes)
            report = _joined(clip, pieces, times, target, options, notes, done)
            pieces.remove()
        except (av.FFmpegError, OSError) as error:
            raise DataError(f"{target}: {_reason(error)}") from error
        finally:
            pieces.release()
    return report


def _encoder(clip: Clip, target: Path, options: VideoOptions) -> Encoder:
    kind = container_of(target)
    try:
        return options.encoder(clip.info.codec, kind)
    except DataError as error:
        raise DataError(f"{target}: {error}") from error


def _joined(
    clip: Clip,
    pieces: Pieces,
    times: _Times,
    target: Path,
    options: VideoOptions,
    notes: tuple[str, ...],
    resumed: int,
) -> VideoReport:
    """Put the result together; where the clip broke off, under another name, so that nobody takes it for all."""
    count, info = len(times.starts), clip.info
    if clip.damaged:
        notes = (*notes, f"{clip.damaged} damaged packet(s) of its picture were passed over")
    broken = ""
    if clip.trouble:
        target = partial_of(target)
        seconds = float((times.end - times.starts[0]) * info.time_base)
        broken = (
            f"{info.path}: it breaks off after {count} frames, {seconds:.1f} s ({clip.trouble}); they are restored in"
            f" {target}"
        )
    join(info, pieces.finished(), times.starts, times.end, target, options, cut=bool(broken))
    return VideoReport(info.path, target, count, min(resumed, count), notes, broken)


def _restore(
    clip: Clip,
    writer: PieceWriter,
    restorer: BaseRestorer,
    skip: int,
    progress: VideoProgress | None,
    cancel: Event | None,
) -> _Times:
    """Restore all frames after the first `skip`; return the times of all."""
    times, turns, total = _Times(), clip.info.turns, clip.info.total
    with ThreadPoolExecutor(1, "restorekit-read") as reading, ThreadPoolExecutor(1, "restorekit-write") as writing:
        waiting: deque[Future[None]] = deque()
        try:
            for frame in _read_ahead(clip.frames(skip), reading):
                if cancel is not None and cancel.is_set():
                    times.stopped = True
                    break
                times.starts.append(frame.start)
                times.end = frame.start + frame.duration
                if frame.pixels is not None:
                    upright = restorer.restore(frame.pixels)
                    waiting.append(writing.submit(writer.add, np.rot90(upright, -turns)))
                if len(waiting) > _AHEAD:
                    waiting.popleft().result()
                if progress:
                    progress(len(times.starts), total)
            for write in waiting:
                write.result()
            if not times.stopped:
                writing.submit(writer.finish).result()
        finally:
            writing.submit(writer.drop).result()
    return times


def _read_ahead(frames: Iterator[Frame], pool: ThreadPoolExecutor) -> Iterator[Frame]:
    """Yield the frames, while the next ones are decoded by a thread."""
    waiting = deque(pool.submit(next, frames, None) for _ in range(_AHEAD))
    while (frame := waiting.popleft().result()) is not None:
        waiting.append(pool.submit(next, frames, None))
        yield frame


def _reason(error: BaseException) -> str:
    return write_failure(error) if isinstance(error, OSError) else f"it cannot be encoded ({error})"


def _plan(source: Path, restorer: BaseRestorer, options: VideoOptions, encoder: Encoder) -> str:
    """Return what identifies a result: only pieces of the same source, network and settings are joined."""
    state = source.stat()
    facts = {
        "source": [str(source.resolve()), state.st_size, state.st_mtime_ns],
        "model": asdict(restorer.info),
        "settings": [restorer.precision, restorer.flips, restorer.tile, repr(getattr(restorer, "budget", None))],
        "weights": restorer.weights_digest(),
        "encoder": [encoder.name, options.settings(encoder)],
        "versions": [__version__, av.__version__],
    }
    return json.dumps(facts, default=str, sort_keys=True)
