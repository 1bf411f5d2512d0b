"""Reading a clip: what it is, its frames one after the other, and where it breaks off."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.stream import Stream
from av.video.stream import VideoStream

from restorekit.data.images.formats import check_pixels
from restorekit.errors import DataError
from restorekit.pixels import Whole
from restorekit.restoring.video.colour import Colour, pixels_of

# A playlist under the name of a clip would have FFmpeg open other files of this machine, also for visitors of a page.
_TRUSTED = {
    "format_whitelist": "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf",
    "protocol_whitelist": "file",
}
_USUAL_RATE = Fraction(25)
# Sound and picture seldom end together, and containers round: less than this at the end is not missing.
_TOLERANCE = Fraction(1, 2)


@dataclass(frozen=True)
class ClipInfo:
    """What a clip is. `rate`: frames a second, on average. `total`: frames that its header promises, None if unknown.

    `seconds`: the picture's length by the header. `time_base`: seconds of one tick. `turns`: quarter turns
    counter-clockwise after which a stored frame is upright; `matrix`: the nine numbers that say so. `deep`: more than
    8 bits. `aspect`: width over height of one pixel.
    """

    path: Path
    codec: str
    width: int
    height: int
    pixel_format: str
    deep: bool
    colour: Colour
    rate: Fraction
    total: int | None
    seconds: Fraction | None
    time_base: Fraction
    turns: int
    matrix: tuple[int, ...] | None
    aspect: Fraction | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Frame:
    """One frame. `start` and `duration`: ticks. `pixels`: upright RGB [H, W, 3], uint8 or uint16; None when skipped."""

    index: int
    start: int
    duration: int
    pixels: Whole | None


class Clip:
    """An open clip. `trouble`: why it ended early, or an empty string, known when all frames were read.

    `damaged`: packets that could not be decoded, so far.
    """

    def __init__(self, path: Path, container: InputContainer) -> None:
        self.trouble = ""
        self.damaged = 0
        self._path = path
        self._container = container
        self._stream = _picture_stream(path, container)
        self._decoded = self._decode()
        first = next(self._decoded, None)
        if first is None:
            raise DataError(f"{path}: no frame of it can be read ({self.trouble or 'it is empty or damaged'})")
        check_pixels(path, first.width, first.height)
        self._first = first
        self.info = _info(path, self._stream, first)

    def frames(self, skip: int = 0) -> Iterator[Frame]:
        """Yield all frames, the first `skip` of them without pixels. Only once."""
        step = max(1, round(1 / (self.info.rate * self.info.time_base)))
        last: Frame | None = None
        for index, raw in enumerate(self._same_size()):
            start = raw.pts if raw.pts is not None else (last.start + last.duration if last else 0)
            if last:
                start = max(start, last.start + 1)
            last = Frame(index, start, raw.duration or step, self._upright(raw) if index >= skip else None)
            yield last
        if last:
            self._check_length(last.start + last.duration)

    def _same_size(self) -> Iterator[av.VideoFrame]:
        yield self._first
        for raw in self._decoded:
            if (raw.width, raw.height) != (self.info.width, self.info.height):
                self.trouble = (
                    f"its picture changes from {self.info.width}x{self.info.height} to {raw.width}x{raw.height}"
                )
                return
            yield raw

    def _upright(self, raw: av.VideoFrame) -> Whole:
        return np.rot90(pixels_of(raw, self.info.colour, self.info.deep), self.info.turns)

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Yield what can be decoded: damaged packets are passed over, a file that breaks off ends it."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self.trouble = _words(error)
                packet = None
            try:
                yield from self._stream.decode(packet)
            except (av.FFmpegError, OSError) as error:
                self.damaged += not isinstance(error, EOFError)
            if packet is None:
                return

    def _check_length(self, end: int) -> None:
        """Note when the picture ends much earlier than the header says. `end`: ticks."""
        promised = self.info.seconds
        if self.trouble or promised is None:
            return
        start = (self._stream.start_time or 0) * self.info.time_base
        missing = start + promised - end * self.info.time_base
        if missing > max(_TOLERANCE, 2 / self.info.rate):
            self.trouble = f"{float(missing):.1f} s of its picture are missing"


@contextmanager
def open_clip(path: str | Path) -> Iterator[Clip]:
    """Open a clip for reading. Raises `DataError` when it cannot be read at all or has no picture."""
    path = Path(path)
    try:
        container = av.open(str(path), container_options=_TRUSTED, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as a clip ({_words(error)}); it may have been cut off while it was copied or"
            " recorded: fetch it again"
        ) from error
    with container:
        yield Clip(path, container)


def _picture_stream(path: Path, container: InputContainer) -> VideoStream:
    """Return the first picture stream that is no cover, decoding on several threads."""
    streams = [s for s in container.streams.video if not is_cover(s)]
    if not streams:
        raise DataError(f"{path}: it has no moving picture, only {_kinds(container)}; leave it out")
    stream = streams[0]
    if stream.codec_context is None:
        raise DataError(f"{path}: this FFmpeg has no decoder for its picture; convert it to H.264 first")
    stream.thread_type = "AUTO"
    return stream


def is_cover(stream: Stream) -> bool:
    """Tell whether a picture stream is a still that the clip is shown with."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _kinds(container: InputContainer) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"


def _words(error: BaseException) -> str:
    """Return an error of FFmpeg without its number and path."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(". ").lower()


def _info(path: Path, stream: VideoStream, first: av.VideoFrame) -> ClipInfo:
    context = stream.codec_context
    rate = stream.average_rate or stream.guessed_rate or _USUAL_RATE
    seconds = _seconds(stream)
    total = stream.frames or (round(seconds * rate) if seconds else None)
    matrix = _display_matrix(first)
    turns = round(first.rotation / 90) % 4 if matrix else 0
    notes = []
    if first.interlaced_frame:
        notes.append("it is interlaced: the two fields of each frame are restored as one picture, and stay woven")
    if _has_alpha(first):
        notes.append("its transparency is not kept")
    if matrix and first.rotation % 90:
        notes.append(f"it is shown turned by {first.rotation} degrees; it was restored as it is stored")
        turns = 0
    return ClipInfo(
        path=path,
        codec=context.codec.canonical_name,
        width=first.width,
        height=first.height,
        pixel_format=first.format.name,
        deep=max(component.bits for component in first.format.components) > 8,
        colour=Colour.of(first),
        rate=Fraction(rate),
        total=total,
        seconds=seconds,
        time_base=_time_base(stream),
        turns=turns,
        matrix=matrix,
        aspect=stream.sample_aspect_ratio or None,
        notes=tuple(notes),
    )


def _has_alpha(frame: av.VideoFrame) -> bool:
    return any(component.is_alpha for component in frame.format.components)


def _display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    found = cast("Mapping[Type, bytes]", frame.side_data)  # typed by number in PyAV, and read by either
    if Type.DISPLAYMATRIX not in found:
        return None
    return tuple(int(value) for value in np.frombuffer(bytes(found[Type.DISPLAYMATRIX]), np.int32))


def _time_base(stream: VideoStream) -> Fraction:
    return stream.time_base or Fraction(1, av.time_base)  # FFmpeg gives every stream of a file one


def _seconds(stream: VideoStream) -> Fraction | None:
    """Return the length of a stream by its header: a number of ticks, or Matroska's text ``00:01:02.500``."""
    if stream.duration:
        return stream.duration * _time_base(stream)
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if not found:
        return None
    hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
