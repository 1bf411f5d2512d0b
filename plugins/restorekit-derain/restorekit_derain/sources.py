"""What lends its drops to other photographs: real pairs and photographs without a clean side, read and cut."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from kornia.geometry.transform import rotate
from torch import Tensor

from restorekit.data.sets import resolve
from restorekit.errors import DataError
from restorekit.pixels import to_image
from restorekit_derain.layers import Cutout, Layer, cut_out, measured

Draw = np.random.Generator


def _folders(joined: str) -> list[Path]:
    return [Path(folder).expanduser() for folder in joined.split(":") if folder]


def layers_of(folders: str) -> list[Layer]:
    """Measure the drops of all pairs in `folders`, joined by ``:``. Raises `DataError` where there are none."""
    return [layer for folder in _folders(folders) for layer in _measured(folder)]


def cutouts_of(folders: str) -> list[Cutout]:
    """Cut the drops out of all photographs in `folders`, joined by ``:``.

    Each folder holds ``data/``, ``gt/`` (the photographs as a model restores them) and ``mask/``. Raises `DataError`
    where one of them is missing.
    """
    return [cutout for folder in _folders(folders) for cutout in _cut_out(folder)]


def _measured(folder: Path) -> list[Layer]:
    images = resolve(folder)
    images.require_paired()
    return [
        measured(to_image(sample.degraded)[0], to_image(sample.clean)[0])
        for sample in images
        if sample.clean is not None
    ]


def _cut_out(folder: Path) -> list[Cutout]:
    images = resolve(folder)
    samples = list(images)
    lacking = [sample.name for sample in samples if sample.clean is None or sample.mask is None]
    if lacking:
        raise DataError(
            f"cutouts: {folder} lacks the restored version or the mask of {lacking[0]!r} and {len(lacking) - 1} others;"
            " put photographs into data/, what `restore --save-mask` makes of them into gt/ and the masks into mask/"
        )
    return [
        cut_out(to_image(s.degraded)[0], to_image(s.clean)[0], to_image(s.mask[..., None])[0])
        for s in samples
        if s.clean is not None and s.mask is not None
    ]


def cut_window(
    planes: tuple[Tensor, ...],
    like: Tensor,
    draw: Draw,
    low: float,
    high: float,
    turned: float = 0.0,
    least: Tensor | None = None,
) -> list[Tensor]:
    """Cut one window out of all planes, as large as `like` shown at a scale in [low, high].

    Mirrored or not, and turned by an angle whose standard deviation is `turned` degrees. With `least`, a plane too, it
    is more often than not the one of three windows in which that plane is least: most windows of a pair hold few drops.
    """
    height, width = planes[0].shape[-2:]
    side_y, side_x = like.shape[-2:]
    scale = min(math.exp(draw.uniform(math.log(low), math.log(high))), height / side_y, width / side_x)
    tall, wide = max(1, int(side_y * scale)), max(1, int(side_x * scale))
    places = draw.integers((height - tall + 1, width - wide + 1), size=(3, 2)).tolist()
    if least is not None and draw.random() < 0.7:
        places.sort(key=lambda place: float(least[..., place[0] : place[0] + tall, place[1] : place[1] + wide].mean()))
    top, left = places[0]
    mirrored, angle = draw.random() < 0.5, turned * draw.standard_normal()

    def window(plane: Tensor) -> Tensor:
        part = plane[..., top : top + tall, left : left + wide].to(like)
        part = part.flip(-1) if mirrored else part
        part = F.interpolate(part[None], (side_y, side_x), mode="bilinear", antialias=scale > 1)
        return (rotate(part, torch.tensor([angle]).to(like), padding_mode="reflection") if turned else part)[0]

    return [window(plane) for plane in planes]
