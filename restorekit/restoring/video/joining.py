"""Putting the result together: the restored picture, and sound and subtitles as they are in the source."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from operator import itemgetter
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from restorekit.errors import DataError
from restorekit.files import explained, write_by_name
from restorekit.restoring.video.names import container_of
from restorekit.restoring.video.options import VideoOptions
from restorekit.restoring.video.source import ClipInfo, is_cover

_KEPT = ("audio", "subtitle")
_Timed = tuple[Fraction, "Packet[Any]"]


def check_streams(info: ClipInfo, target: Path) -> tuple[str, ...]:
    """Say what of the source the target cannot hold, such as timed data; before anything is computed.

    Raises `DataError` when it is sound or subtitles.
    """
    kind = container_of(target)
    with av.open(str(info.path), metadata_errors="replace") as source, av.open(os.devnull, "w", format=kind) as sink:
        for stream in _companions(source):
            try:
                sink.add_stream_from_template(stream, opaque=True)
            except (ValueError, av.FFmpegError) as error:
                raise DataError(
                    f"{info.path}: {target.suffix} cannot hold its {_name(stream)} {stream.type}; give the result a"
                    " name that ends in .mkv"
                ) from error
        others = [s for s in source.streams if s.type not in (*_KEPT, "video")]
        further = [s for s in source.streams.video if not is_cover(s)][1:]
    kinds = sorted({"timed data" if s.type == "data" else f"{s.type}s" for s in others})
    notes = [f"its {', '.join(kinds)} are not kept"] if kinds else []
    return (*notes, *(["only the first of its pictures is kept"] if further else []))


def join(
    info: ClipInfo,
    pieces: Sequence[Path],
    starts: Sequence[int],
    end: int,
    target: Path,
    options: VideoOptions,
    *,
    cut: bool = False,
) -> None:
    """Write the pieces and the source's other streams into `target`, which appears complete or not at all.

    `starts`: the time of each frame in ticks of the source; `end`: the end of the last. `cut`: leave out what is
    later than that. Raises `DataError` when the file cannot be written.
    """
    kind = container_of(target)
    try:
        with explained(target):
            write_by_name(target, lambda beside: _write(info, pieces, starts, end, beside, kind, options, cut))
    except av.FFmpegError as error:
        raise DataError(f"{target}: cannot be written ({error})") from error


def _write(
    info: ClipInfo,
    pieces: Sequence[Path],
    starts: Sequence[int],
    end: int,
    path: Path,
    kind: str,
    options: VideoOptions,
    cut: bool,
) -> None:
    with (
        av.open(str(info.path), metadata_errors="replace") as source,
        av.open(str(pieces[0])) as first,
        av.open(str(path), "w", format=kind, container_options=_container_options(kind, source)) as sink,
    ):
        sink.metadata.update(options.tags(source.metadata))
        picture = _picture(sink, first.streams.video[0], info, kind)
        _label(picture, next(s for s in source.streams.video if not is_cover(s)), options)
        copies = {}
        for stream in _companions(source):
            copies[stream.index] = sink.add_stream_from_template(stream, opaque=True)
            _label(copies[stream.index], stream, options)
        last = end * info.time_base if cut else None
        sink.set_chapters(source.chapters() if options.metadata != "none" else [])
        pictures = _pictures(pieces, starts, end, info, picture)
        for _, packet in heapq.merge(pictures, _others(source, copies, last), key=itemgetter(0)):
            sink.mux_one(packet)


def _container_options(kind: str, source: InputContainer) -> dict[str, str]:
    """Let a player start before the file is complete, and keep the tags of phones (``com.apple...``)."""
    if kind not in ("mp4", "mov"):
        return {}
    flags = "+faststart" + ("+use_metadata_tags" if any("." in key for key in source.metadata) else "")
    return {"movflags": flags}


def _picture(sink: OutputContainer, encoded: VideoStream, info: ClipInfo, kind: str) -> VideoStream:
    """Add the stream of the restored picture, with the source's colour, shape of pixels and rotation."""
    stream = sink.add_stream_from_template(encoded, opaque=True)
    stream.time_base = info.time_base
    stream.codec_context.framerate = info.rate
    info.colour.tag(stream.codec_context)
    if info.aspect:
        stream.codec_context.sample_aspect_ratio = info.aspect
    if info.matrix:
        stream.set_display_matrix(info.matrix)
    if kind in ("mp4", "mov") and encoded.codec_context.codec.canonical_name == "hevc":
        stream.codec_context.codec_tag = "hvc1"  # Apple's players know no other
    return stream


def _label(stream: Stream, source: Stream, options: VideoOptions) -> None:
    """Keep a stream's language, title and role; what only tells of its old encoding goes."""
    stale = ("DURATION", "NUMBER_OF_", "BPS", "_STATISTICS", "encoder")
    tags = options.tags(source.metadata)
    stream.metadata.update({key: value for key, value in tags.items() if not key.startswith(stale)})
    stream.disposition = source.disposition


def _companions(source: InputContainer) -> list[Stream]:
    """Return the streams that are copied: sound, subtitles, covers."""
    return [s for s in source.streams if s.type in _KEPT or (s.type == "video" and is_cover(s))]


def _name(stream: Stream) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"


def _pictures(
    pieces: Sequence[Path], starts: Sequence[int], end: int, info: ClipInfo, stream: VideoStream
) -> Iterator[_Timed]:
    """Yield the packets of all pieces with the source's times.

    The time of decoding is that of the frame `delay` places earlier: the least delay with which no frame is decoded
    after it is shown. Encoders state times of decoding too, but for the steady rate that the pieces have.
    """
    coded: list[int] = []
    for path in pieces:
        coded += [len(coded) + place for place in _order(path)]
    if len(coded) != len(starts):
        raise DataError(
            f"{pieces[0].parent}: its pieces hold {len(coded)} frames, {info.path} has {len(starts)}; remove that"
            " folder and restore the clip again"
        )
    delay = max(position - place for position, place in enumerate(coded))
    step = max(1, round(1 / (info.rate * info.time_base)))
    bounds = [*starts, end]
    packets = (packet for path in pieces for packet in _packets(path))
    for position, (place, packet) in enumerate(zip(coded, packets, strict=True)):
        early = position - delay
        packet.stream, packet.time_base = stream, info.time_base
        packet.pts = starts[place]
        packet.dts = starts[early] if early >= 0 else starts[0] + early * step
        packet.duration = bounds[place + 1] - bounds[place]
        yield packet.dts * info.time_base, packet


def _packets(path: Path) -> Iterator[Packet[Any]]:
    with av.open(str(path)) as piece:
        yield from (packet for packet in piece.demux(piece.streams.video[0]) if packet.pts is not None)


def _order(path: Path) -> list[int]:
    """Return the place of each packet's frame among the frames of a piece, in the order of the packets."""
    times = [packet.pts or 0 for packet in _packets(path)]
    places = {time: place for place, time in enumerate(sorted(times))}
    return [places[time] for time in times]


def _others(source: InputContainer, copies: dict[int, Stream], last: Fraction | None) -> Iterator[_Timed]:
    """Yield the packets of the streams that are copied, as far as they can be read and begin before `last` seconds."""
    packets = source.demux([source.streams[index] for index in copies]) if copies else iter(())
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError):
            return  # the picture broke off here too, which is reported
        if packet is None:
            return
        time = packet.pts if packet.dts is None else packet.dts
        if time is None or (last is not None and time * packet.time_base >= last):
            continue
        moment = time * packet.time_base
        packet.stream = copies[packet.stream_index]
        yield moment, packet
