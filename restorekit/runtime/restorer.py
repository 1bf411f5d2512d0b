"""`OnnxRestorer`: pictures and files through an exported network, without PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from restorekit.data.images import Picture, picture_of, pil_of, read_picture, write_picture
from restorekit.errors import ImageError, RestorekitError
from restorekit.restoring.spans import padded_tile, tile_for, tiling_of
from restorekit.restoring.strips import Planes, restore_strips
from restorekit.runtime.network import OnnxNetwork

_BUDGET = 2**29  # bytes that a tile may take: onnxruntime's arena keeps about as much again


class OnnxRestorer:
    """Restores with an exported file (see `restorekit export`).

    `tile`: pixels per side of the pieces that a large image is cut into, 0 for never, ``auto`` for what fits into half
    a gigabyte. `flips`: average with the result of the mirror image. `device`, `threads`: see `OnnxNetwork`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        device: str = "auto",
        tile: int | str = "auto",
        flips: bool = False,
        threads: int = 0,
    ) -> None:
        if tile != "auto" and (not isinstance(tile, int) or not (tile == 0 or tile >= 16)):
            raise RestorekitError(f"tile is {tile!r}; use 'auto', 0 for none, or a number of pixels of at least 16")
        self.network = OnnxNetwork(path, device, threads)
        self.facts = self.network.facts
        self.tile = tile
        self.flips = flips

    def restore_picture(self, picture: Picture) -> Picture:
        """Restore a picture; depth, alpha and metadata stay."""
        sides = [self.facts.rule.padded(side) for side in (picture.height, picture.width)]
        tile = self._tile_for(sides[0] * sides[1])
        whole = not tile or tile >= max(sides)
        return restore_strips(self._run, picture, tiling_of(0 if whole else tile, self.facts.reach, self.facts.rule))

    def restore_file(self, source: str | Path, target: str | Path) -> None:
        """Restore one file into another, which appears complete or not at all."""
        write_picture(target, self.restore_picture(read_picture(source)))

    def restore(self, image: object) -> object:
        """Restore a path or Pillow image (both give a Pillow image), or an array [H, W, ...] of uint8 or uint16.

        Raises `ImageError` when it is none of these.
        """
        if isinstance(image, (str, Path)):
            return pil_of(self.restore_picture(read_picture(image)))
        if isinstance(image, Image.Image):
            return pil_of(self.restore_picture(picture_of(image)))
        if isinstance(image, np.ndarray) and image.dtype in (np.uint8, np.uint16) and image.ndim in (2, 3):
            return self.restore_picture(Picture.from_stored(image)).stored().reshape(image.shape)
        raise ImageError(
            f"an image of type {type(image).__name__} is not supported here; give a path, a Pillow image, or an array"
            " [H, W, 3] of uint8 or uint16"
        )

    def _tile_for(self, pixels: int) -> int:
        """Return the pixels per side of the tiles for an image of so many pixels; 0 for the whole of it."""
        if self.tile != "auto":
            return padded_tile(int(self.tile), self.facts.rule) if self.tile else 0
        if pixels * self.facts.bytes_per_pixel <= _BUDGET:
            return 0
        return tile_for(_BUDGET, self.facts.bytes_per_pixel, self.facts.rule)

    def _run(self, planes: Planes) -> Planes:
        result = self.network(planes)
        if not self.flips:
            return result
        mirrored = self.network(np.ascontiguousarray(planes[..., ::-1]))
        return (result + mirrored[..., ::-1]) * np.float32(0.5)
