"""`Picture`: the pixels of one image and what is needed to write it back in the same form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from restorekit.errors import ImageError
from restorekit.pixels import Planes, Whole, luma, pixels_of, to_image

if TYPE_CHECKING:
    from torch import Tensor

Pixels = Whole


@dataclass(frozen=True, eq=False)
class Picture:
    r"""One image in memory.

    `pixels`: [H, W, 3] RGB, uint8 or uint16, full range; a grey image holds its grey three times. `alpha`:
    [H, W] of the same type, not premultiplied. `grey`: write one channel (luma). `format`: ``JPEG``, ``PNG``,
    ``WEBP``, ``TIFF`` or ``AVIF``, as read; ``PNG`` for all others. `lossless`: whether the source was stored without
    loss. `exif` (with the prefix ``Exif\0\0``), `icc` and `xmp`: raw bytes. `iptc`: records of IPTC-IIM. `comment`:
    free text. `texts`: further (keyword, text) of a PNG. `dpi`: pixels per inch. `notes`: what could not be kept.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    grey: bool = False
    format: str = "PNG"
    lossless: bool = True
    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    comment: str = ""
    texts: tuple[tuple[str, str], ...] = ()
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    path: Path | None = None

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def bits(self) -> int:
        """Bits per channel: 8 or 16."""
        return 8 * self.pixels.dtype.itemsize

    def tensor(self) -> Tensor:
        """Return the colours as [1, 3, H, W] float32 in [0, 1]."""
        return to_image(self.pixels)

    def with_image(self, image: Tensor) -> Picture:
        """Return the picture with the colours of `image` [1, 3, H, W] or [3, H, W] in [0, 1], rounded.

        Alpha and metadata stay. A grey picture takes the luma of `image`. Raises `ImageError` when the
        sizes differ.
        """
        if tuple(image.shape[-2:]) != (self.height, self.width):
            raise ImageError(
                f"{self.path or 'picture'}: it has {self.height} x {self.width} pixels (height x width), the"
                f" restored image {image.shape[-2]} x {image.shape[-1]}; they must be equal"
            )
        planes = image.detach().float().cpu().reshape(3, self.height, self.width).numpy()
        return replace(self, pixels=coloured(planes, self.pixels.dtype, self.grey))

    def to_8_bit(self) -> Picture:
        """Return the picture with 8 bits per channel, rounded to the nearest level."""
        if self.bits == 8:
            return self
        alpha = None if self.alpha is None else _to_8_bit(self.alpha)
        return replace(self, pixels=_to_8_bit(self.pixels), alpha=alpha)

    def stored(self) -> Pixels:
        """Return the channels as a file holds them: [H, W] grey, or [H, W, 2 | 3 | 4] with alpha last."""
        colours = self.pixels[..., :1] if self.grey else self.pixels
        if self.alpha is not None:
            colours = np.concatenate([colours, self.alpha[..., None]], axis=2)
        return np.ascontiguousarray(colours[..., 0] if colours.shape[2] == 1 else colours)

    @classmethod
    def from_stored(cls, channels: Pixels, **rest: Any) -> Picture:
        """Build a picture from [H, W] or [H, W, 1 | 2 | 3 | 4] channels, uint8 or uint16, alpha last."""
        if channels.ndim == 2:
            channels = channels[..., None]
        count = channels.shape[2]
        grey = count <= 2
        colours = np.repeat(channels[..., :1], 3, axis=2) if grey else channels[..., :3]
        alpha = np.ascontiguousarray(channels[..., -1]) if count in (2, 4) else None
        return cls(np.ascontiguousarray(colours), alpha=alpha, grey=grey, **rest)


def coloured(planes: Planes, kind: DTypeLike, grey: bool) -> Pixels:
    """Return planes [3, H, W] as whole numbers [H, W, 3] of a type; with `grey` their luma three times."""
    return pixels_of(np.broadcast_to(luma(planes[0], planes[1], planes[2]), planes.shape) if grey else planes, kind)


def _to_8_bit(levels: Pixels) -> Pixels:
    """Map uint16 [0, 65535] to uint8 [0, 255]; 257 = 65535 / 255 is exact."""
    return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)
