"""The finished pieces of a clip, kept beside the result so that an interrupted clip goes on where it stopped."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.container import OutputContainer
from av.video.stream import VideoStream
from filelock import FileLock, Timeout

from restorekit.errors import DataError
from restorekit.files import finish, make_folder, write_text
from restorekit.pixels import Whole
from restorekit.restoring.video.colour import frame_of
from restorekit.restoring.video.options import Encoder, VideoOptions
from restorekit.restoring.video.source import ClipInfo

FRAMES = 60
"""Frames of one piece: what an interruption costs at most, and how far apart the result's key frames are at most."""

_PLAN, _LOCK, _SUFFIX, _UNFINISHED = "plan", "lock", ".nut", ".part"


class Pieces:
    """A folder of encoded pieces of `FRAMES` frames each (the last may be shorter), all by one plan.

    NUT holds every codec and is complete after each frame. Times are not in it: the frames' places in a piece are.
    """

    def __init__(self, target: Path) -> None:
        self.folder = target.with_name(f".{target.name[:60]}.pieces")
        self._lock = FileLock(self.folder / _LOCK)

    def open(self, plan: str) -> int:
        """Take the folder for this process and return how many frames of the same plan are finished: see `frames`.

        Pieces by another plan are removed. Raises `DataError` when another process works on the clip or the folder
        cannot be made.
        """
        make_folder(self.folder)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise DataError(f"{self.folder}: another process restores this clip; wait for it, or stop it") from error
        known = self.folder / _PLAN
        plan = f"{plan}\n{FRAMES} frames a piece"
        if not known.is_file() or known.read_text(encoding="utf-8", errors="replace") != plan:
            for path in self.folder.glob(f"*{_SUFFIX}"):
                path.unlink()
            write_text(known, plan)
        for path in self.folder.glob(f"*{_UNFINISHED}"):
            path.unlink()
        return self.frames()

    def frames(self) -> int:
        """Return how many frames the finished pieces hold; more when the last is shorter."""
        return len(self.finished()) * FRAMES

    def finished(self) -> list[Path]:
        """Return the finished pieces from the first to the first gap."""
        found: list[Path] = []
        while (path := self.path(len(found))).is_file():
            found.append(path)
        return found

    def path(self, number: int) -> Path:
        """Return where piece `number` is or will be."""
        return self.folder / f"{number:06}{_SUFFIX}"

    def release(self) -> None:
        """Let other processes have the folder; the pieces stay, and without any the folder goes."""
        if not self.finished():
            self.remove()
        self._lock.release()

    def remove(self) -> None:
        """Remove the folder with all pieces."""
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)


class PieceWriter:
    """Encodes restored frames into pieces, after those that are finished."""

    def __init__(self, pieces: Pieces, info: ClipInfo, encoder: Encoder, options: VideoOptions) -> None:
        self._pieces, self._info, self._number = pieces, info, len(pieces.finished())
        self._encoder, self._options = encoder, options
        self._format = pixel_format(info, encoder)
        self._open: tuple[OutputContainer, VideoStream] | None = None
        self._count = 0

    def add(self, pixels: Whole) -> None:
        """Encode one frame, RGB [H, W, 3] as it is stored, and finish the piece with its last frame."""
        container, stream = self._open = self._open or self._begun()
        frame = frame_of(pixels, self._info.colour, self._format)
        frame.pts, frame.time_base = self._count, stream.codec_context.time_base
        container.mux(stream.encode(frame))
        self._count += 1
        if self._count == FRAMES:
            self.finish()

    def finish(self) -> None:
        """Write what the encoder holds back and make the piece one of the finished."""
        if self._open is None:
            return
        container, stream = self._open
        container.mux(stream.encode())
        self._close()
        finish(self._part, self._pieces.path(self._number))
        self._number += 1

    def drop(self) -> None:
        """Leave an unfinished piece out."""
        if self._open is not None:
            with suppress(av.FFmpegError, OSError):  # the cause is on its way to the user already
                self._close()
            self._part.unlink(missing_ok=True)

    @property
    def _part(self) -> Path:
        path = self._pieces.path(self._number)
        return path.with_name(path.name + _UNFINISHED)

    def _begun(self) -> tuple[OutputContainer, VideoStream]:
        os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 tells the terminal of its settings otherwise
        info, rate = self._info, max(1, round(self._info.rate))
        container = av.open(str(self._part), "w", format="nut")
        settings = self._options.settings(self._encoder)
        stream = cast(VideoStream, container.add_stream(self._encoder.name, rate=rate, options=settings))
        stream.width, stream.height = info.width, info.height
        stream.pix_fmt = self._format
        stream.codec_context.time_base = Fraction(1, rate)
        info.colour.tag(stream.codec_context)
        if info.aspect:
            stream.codec_context.sample_aspect_ratio = info.aspect
        return container, stream

    def _close(self) -> None:
        """Close the piece, if one is open."""
        if self._open is not None:
            container, self._open, self._count = self._open[0], None, 0
            container.close()


def pixel_format(info: ClipInfo, encoder: Encoder) -> str:
    """Return the source's pixel format where the encoder takes it, else the nearest that loses least.

    Raises `DataError` for an odd size that the encoder cannot hold.
    """
    known = [format.name for format in av.Codec(encoder.name, "w").video_formats or ()]
    subsampling, depth = _subsampling(info), "10le" if info.deep else ""
    wanted = [f"yuv{subsampling}p{depth}", f"yuv444p{depth}", f"yuv420p{depth}", "yuv444p", "yuv420p"]
    odd = info.width % 2 or info.height % 2
    for name in wanted:
        if name in known and not (odd and "444" not in name):
            return name
    raise DataError(
        f"{info.path}: {encoder.name} takes even sizes only, not {info.width}x{info.height}; use --video-codec h264"
    )


def _subsampling(info: ClipInfo) -> str:
    """Return how colour is stored in the source: ``420``, ``422`` or ``444``; RGB and grey as ``420``."""
    format = av.VideoFormat(info.pixel_format, 16, 16)
    if format.is_rgb or len(format.components) < 3:
        return "420"
    return {(8, 8): "420", (8, 16): "422"}.get((format.chroma_width(), format.chroma_height()), "444")
