"""How a restored clip is encoded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from restorekit.data.images.fitting import Metadata
from restorekit.errors import DataError

CodecName = Literal["auto", "h264", "hevc", "vp9", "av1", "ffv1"]
CODECS: tuple[str, ...] = get_args(CodecName)


@dataclass(frozen=True)
class Encoder:
    """One way to encode: FFmpeg's encoder, its usual and largest quality number, its settings and containers."""

    name: str
    crf: int | None
    worst: int
    settings: dict[str, str]
    containers: frozenset[str]


_PLACE = re.compile(r"location|gps|geo|coordinates|\bxyz|loci", re.IGNORECASE)
_ALL = frozenset(["mp4", "mov", "matroska"])

ENCODERS: dict[str, Encoder] = {
    "h264": Encoder("libx264", 18, 51, {"preset": "medium"}, _ALL),
    "hevc": Encoder("libx265", 20, 51, {"preset": "medium", "x265-params": "log-level=none"}, _ALL),
    "vp9": Encoder("libvpx-vp9", 24, 63, {"b": "0", "row-mt": "1", "cpu-used": "4"}, _ALL | {"webm"}),
    "av1": Encoder("libsvtav1", 24, 63, {"preset": "8"}, _ALL | {"webm"}),
    "ffv1": Encoder("ffv1", None, 0, {"level": "3", "slicecrc": "1"}, frozenset(["matroska"])),
}


@dataclass(frozen=True)
class VideoOptions:
    """Codec, quality and metadata of a restored clip or animation.

    Raises `DataError` for values that are not allowed.
    """

    codec: CodecName = "auto"
    """``auto`` takes the source's where `CODECS` has it and the container holds it, else H.264 (VP9 in WebM)."""
    crf: int | None = None
    """The encoder's constant quality, from 0, best, to 51 (H.264, HEVC) or 63 (VP9, AV1).

    By default 18, 20, 24 and 24, where a difference is hard to see; ``ffv1`` is lossless and has none.
    """
    metadata: Metadata = "keep"
    """Titles, tags and chapters, and an animation's EXIF, XMP and comment.

    ``keep`` them, without the place (``no-gps``), or ``none``; languages stay.
    """
    quality: int | None = None
    """Of animated WebP, 1 to 100; None for 95."""

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise DataError(f"codec is {self.codec!r}; use one of {', '.join(CODECS)}")
        if self.crf is not None and not 0 <= self.crf <= 63:
            raise DataError(f"crf is {self.crf}; give a number from 0, the best quality, to 51 (VP9 and AV1: 63)")

    def encoder(self, source_codec: str, container: str) -> Encoder:
        """Return the encoder for a clip of `source_codec` that goes into `container`.

        Raises `DataError` when the container cannot hold the codec or `crf` is beyond what the encoder knows.
        """
        name = self._name(source_codec, container)
        encoder = ENCODERS[name]
        if container not in encoder.containers:
            fitting = ", ".join(key for key, value in ENCODERS.items() if container in value.containers)
            raise DataError(f"{container} holds no {name}; use one of {fitting}, or another file name, such as .mkv")
        if self.crf is not None and encoder.crf is None:
            raise DataError(f"{name} is lossless and has no crf; leave one of them out")
        if self.crf is not None and self.crf > encoder.worst:
            raise DataError(f"crf is {self.crf}; {name} takes 0, the best quality, to {encoder.worst}")
        return encoder

    def _name(self, source_codec: str, container: str) -> str:
        if self.codec != "auto":
            return self.codec
        if source_codec in ENCODERS and container in ENCODERS[source_codec].containers:
            return source_codec
        return "vp9" if container == "webm" else "h264"

    def tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Return the tags of a clip, or of one of its streams, that its result gets."""
        if self.metadata == "none":
            return {key: value for key, value in tags.items() if key == "language"}
        if self.metadata == "no-gps":
            return {key: value for key, value in tags.items() if not _PLACE.search(key)}
        return dict(tags)

    def settings(self, encoder: Encoder) -> dict[str, str]:
        """Return the encoder's settings as FFmpeg takes them."""
        crf = encoder.crf if self.crf is None else self.crf
        return encoder.settings if crf is None else encoder.settings | {"crf": str(crf)}
