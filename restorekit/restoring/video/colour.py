"""From the values that a clip stores to RGB and back, by the clip's own matrix and range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from av import VideoCodecContext, VideoFrame
from av.video.reformatter import ColorRange, Interpolation

from restorekit.pixels import Whole

# Chroma is interpolated for every pixel and sums are rounded: by default swscale loses up to 2 of 255 levels.
_CAREFUL = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_UNSPECIFIED = 2
# ITU-T H.273's numbers of matrices, to those that swscale takes.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_HD_LINES = 720


@dataclass(frozen=True)
class Colour:
    """Colour as ITU-T H.273 numbers it; 2 where nothing is stated. `full`: values use all levels."""

    matrix: int
    primaries: int
    transfer: int
    full: bool
    lines: int

    @classmethod
    def of(cls, frame: VideoFrame) -> Colour:
        """Read the colour of a frame. RGB is stated as BT.709, which it is encoded with."""
        if frame.format.is_rgb:
            return cls(1, 1, 1, False, frame.height)
        full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        return cls(frame.colorspace, frame.color_primaries, frame.color_trc, full, frame.height)

    @property
    def swscale(self) -> int:
        """The matrix as swscale numbers it; players take BT.709 for HD and BT.601 else where none is stated."""
        return _MATRICES.get(self.matrix, 1 if self.lines >= _HD_LINES else 5)

    @property
    def range(self) -> ColorRange:
        """The range as FFmpeg names it."""
        return ColorRange.JPEG if self.full else ColorRange.MPEG

    def tag(self, context: VideoCodecContext) -> None:
        """State this colour in an encoder's or a stream's codec context."""
        context.colorspace, context.color_primaries = self.matrix, self.primaries
        context.color_trc, context.color_range = self.transfer, int(self.range)


def pixels_of(frame: VideoFrame, colour: Colour, deep: bool) -> Whole:
    """Return a frame as RGB [H, W, 3], uint8, or uint16 by its full range when `deep`."""
    source = {} if frame.format.is_rgb else {"src_colorspace": colour.swscale, "src_color_range": colour.range}
    pixels = frame.reformat(
        format="rgb48le" if deep else "rgb24",
        dst_color_range=ColorRange.JPEG,
        interpolation=_CAREFUL,
        **source,
    ).to_ndarray()
    return cast(Whole, pixels)


def frame_of(pixels: Whole, colour: Colour, format: str) -> VideoFrame:
    """Return RGB [H, W, 3], uint8 or uint16, as a frame of a pixel format such as ``yuv420p``."""
    kind = "rgb48le" if pixels.dtype == np.uint16 else "rgb24"
    return VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=kind).reformat(
        format=format,
        dst_colorspace=colour.swscale,
        src_color_range=ColorRange.JPEG,
        dst_color_range=colour.range,
        interpolation=_CAREFUL,
    )
