"""From an image set to training samples: crops, in an order that the caller decides."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from restorekit.data.sets import ImageSet, RawSample
from restorekit.errors import DataError
from restorekit.interface import Batch, SizeRule
from restorekit.pixels import Pixels
from restorekit.recipe.parts import Data

# image HWC uint8, its index -> plausible clean images KHWC uint8
Referencer = Callable[[Pixels, int], Pixels]
_MOST_MIRRORED = 4  # sides of the image in a crop; far more would take all memory, and show nothing new


@dataclass(frozen=True)
class Planes:
    """One image and what belongs to it, all uint8 with the same height and width."""

    name: str
    degraded: Pixels
    clean: Pixels | None = None
    mask: Pixels | None = None
    references: Pixels | None = None

    def map(self, change: Callable[[Pixels], Pixels]) -> Planes:
        """Return the planes with `change` applied to each; it sees height and width as axes -3 and -2."""
        others = (self.clean, self.mask, self.references)
        clean, mask, references = (None if plane is None else change(plane) for plane in others)
        return Planes(self.name, change(self.degraded), clean, mask, references)

    @property
    def bytes(self) -> int:
        """The memory that the planes take."""
        arrays = (self.degraded, self.clean, self.mask, self.references)
        return sum(a.nbytes for a in arrays if a is not None)


def _planes(sample: RawSample) -> Planes:
    mask = None if sample.mask is None else sample.mask[..., None]
    planes = Planes(sample.name, sample.degraded, sample.clean, mask)
    for array in (sample.clean, mask):
        if array is not None and array.shape[:2] != sample.degraded.shape[:2]:
            raise DataError(
                f"pair {sample.name!r}: the degraded image is {sample.degraded.shape[1]}x{sample.degraded.shape[0]}"
                f" and its partner {array.shape[1]}x{array.shape[0]} pixels; both must be of one size"
            )
    return planes


def resized(plane: Pixels, side: int) -> Pixels:
    """Scale [H, W, C] so that the shorter side has `side` pixels: bicubic, one channel by nearest neighbours."""
    height, width = plane.shape[:2]
    scale = side / min(height, width)
    size = (round(width * scale), round(height * scale))
    if plane.shape[-1] == 1:
        return np.asarray(Image.fromarray(plane[..., 0]).resize(size, Image.Resampling.NEAREST))[..., None]
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))


def _pad_to(plane: Pixels, height: int, width: int) -> Pixels:
    missing = (max(0, height - plane.shape[-3]), max(0, width - plane.shape[-2]))
    if missing == (0, 0):
        return plane
    around = [(0, 0)] * (plane.ndim - 3) + [(0, missing[0]), (0, missing[1]), (0, 0)]
    return np.pad(plane, around, mode="symmetric")


class CropSource:
    """Cuts training samples out of an image set; thread-safe.

    Decoded images stay in memory up to ``data.cache`` MiB. `referencer` adds references to each image once; a
    sample then carries one of them, drawn by its key. With ``data.crop == 0`` samples are whole images padded
    to `size_rule`.
    """

    def __init__(self, images: ImageSet, data: Data, size_rule: SizeRule, referencer: Referencer | None = None) -> None:
        self.images = images
        self.data = data
        self.size_rule = size_rule
        self.referencer = referencer
        self._cache: dict[int, Planes] = {}
        self._cached = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.images)

    def _read(self, index: int) -> Planes:
        planes = _planes(self.images.read(index))
        if self.data.resize:
            planes = planes.map(lambda plane: resized(plane, self.data.resize))
        if self.referencer:
            planes = replace(planes, references=self.referencer(planes.degraded, index))
        return planes

    def planes(self, index: int) -> Planes:
        """Return image `index`, decoded once while the cache has room."""
        known = self._cache.get(index)
        if known is not None:
            return known
        planes = self._read(index)
        with self._lock:
            if index not in self._cache and self._cached + planes.bytes <= self.data.cache * 2**20:
                self._cache[index] = planes
                self._cached += planes.bytes
        return planes

    def crop(self, index: int, key: int) -> Planes:
        """Return the crop of image `index` that `key` decides, with at most one reference."""
        planes = self.planes(index)
        rng = np.random.default_rng(key)
        if planes.references is not None:
            chosen = int(rng.integers(len(planes.references)))
            planes = replace(planes, references=planes.references[chosen : chosen + 1])
        height, width = planes.degraded.shape[:2]
        if not self.data.crop:
            target = self.size_rule.padded(height), self.size_rule.padded(width)
            return planes.map(lambda plane: _pad_to(plane, *target))
        side = self.data.crop
        self._check_side(planes.name, height, width)
        top = int(rng.integers(max(0, height - side) + 1))
        left = int(rng.integers(max(0, width - side) + 1))
        return planes.map(lambda plane: _pad_to(plane[..., top : top + side, left : left + side, :], side, side))

    def _check_side(self, name: str, height: int, width: int) -> None:
        largest = _MOST_MIRRORED * max(height, width)
        if self.data.crop > largest:
            raise DataError(
                f"data.crop is {self.data.crop}, and {name!r} is {width}x{height}: a crop may be at most"
                f" {_MOST_MIRRORED} times as large as its image, which is mirrored to fill it. Set data.crop to at"
                f" most {largest}, or enlarge the images with data.resize"
            )


def _stack(arrays: list[Pixels | None]) -> Tensor | None:
    """Return [B, ..., C, H, W] uint8 from B arrays [..., H, W, C], or None if they are absent."""
    present = [array for array in arrays if array is not None]
    if len(present) < len(arrays):
        return None
    if len({array.shape for array in present}) > 1:
        sizes = ", ".join(sorted({f"{a.shape[-2]}x{a.shape[-3]}" for a in present}))
        raise DataError(
            f"whole images of different sizes ({sizes}) cannot share a batch; set data.crop to a size, or"
            " data.batch to 1"
        )
    return torch.from_numpy(np.stack(present)).movedim(-1, -3)


def collate(samples: list[Planes], keys: list[int]) -> Batch:
    """Return a batch of uint8 tensors on the CPU. Raises `DataError` when the sizes differ."""
    degraded = _stack([s.degraded for s in samples])
    assert degraded is not None
    return Batch(
        degraded=degraded,
        clean=_stack([s.clean for s in samples]),
        mask=_stack([s.mask for s in samples]),
        references=_stack([s.references for s in samples]),
        name=tuple(s.name for s in samples),
        key=torch.tensor(keys, dtype=torch.int64),
    )
