"""Paired augmentation on the device: every decision is a pure function of a sample's key."""

from __future__ import annotations

from collections.abc import Callable

import torch
from kornia.enhance import adjust_brightness
from kornia.geometry.transform import hflip, vflip
from torch import Tensor

from restorekit.data.synthesis import add_drops, scenes, synthesize
from restorekit.data.synthesis.defocus import defocus
from restorekit.interface import Batch
from restorekit.keyed import uniform
from restorekit.pixels import unit
from restorekit.recipe.parts import Augment, Data

# one stream of random numbers for each decision
_FLIP, _VERTICAL, _ROTATE, _BRIGHTNESS, _DROPS = range(100, 105)


def to_float(batch: Batch) -> Batch:
    """Return uint8 planes as float32: images in [0, 1], masks in {0, 1}."""
    return batch.replace(
        degraded=unit(batch.degraded),
        clean=None if batch.clean is None else unit(batch.clean),
        references=None if batch.references is None else unit(batch.references),
        mask=None if batch.mask is None else (batch.mask > 0).float(),
    )


def _where(batch: Batch, chosen: Tensor, change: Callable[[Tensor], Tensor]) -> Batch:
    """Apply `change` to every plane of the chosen samples."""

    def changed(value: Tensor) -> Tensor:
        return torch.where(chosen.view(-1, *[1] * (value.ndim - 1)), change(value), value)

    return batch.replace(
        degraded=changed(batch.degraded),
        clean=None if batch.clean is None else changed(batch.clean),
        mask=None if batch.mask is None else changed(batch.mask),
        references=None if batch.references is None else changed(batch.references),
    )


def _geometry(batch: Batch, augment: Augment, key: Tensor) -> Batch:
    if augment.flip:
        batch = _where(batch, uniform(key, _FLIP) < 0.5, hflip)
    if augment.vertical_flip:
        batch = _where(batch, uniform(key, _VERTICAL) < 0.5, vflip)
    if augment.rotate:
        turns = (uniform(key, _ROTATE) * 4).long()
        for turn in (1, 2, 3):
            batch = _where(batch, turns == turn, lambda x, k=turn: torch.rot90(x, k, (-2, -1)))  # type: ignore[misc]
    return batch


def _brightness(batch: Batch, amount: float, key: Tensor) -> Batch:
    shift = (uniform(key, _BRIGHTNESS) * 2 - 1) * amount
    degraded = adjust_brightness(batch.degraded, shift)
    clean, references = (p if p is None else adjust_brightness(p, shift) for p in (batch.clean, batch.references))
    return batch.replace(degraded=degraded, clean=clean, references=references)


def _more_drops(batch: Batch, probability: float, key: Tensor) -> Batch:
    degraded, mask = add_drops(batch.degraded, key)
    chosen = (uniform(key, _DROPS) < probability).view(-1, 1, 1, 1)
    merged = None if batch.mask is None else torch.where(chosen, torch.maximum(mask, batch.mask), batch.mask)
    return batch.replace(degraded=torch.where(chosen, degraded, batch.degraded), mask=merged)


@torch.no_grad()
def augment(batch: Batch, data: Data) -> Batch:
    """Return a float batch as `data` says: uint8 to [0, 1], mirrored, turned, brightened, degraded.

    The batch must carry keys. With ``data.synthesis`` the images are taken as clean, and degraded here.
    """
    key = batch.key
    assert key is not None
    batch = _geometry(to_float(batch), data.augment, key)
    if data.augment.brightness:
        batch = _brightness(batch, data.augment.brightness, key)
    if data.synthesis:
        clean = batch.degraded if batch.clean is None else batch.clean
        if data.synthesis.defocus:
            clean = defocus(clean, key, data.synthesis.defocus)
        how = data.synthesis
        clean = scenes(clean, key, how.task, how.settings)
        degraded, mask = synthesize(clean, key, how.task, how.preset, how.settings)
        batch = batch.replace(degraded=degraded, clean=clean, mask=mask)
    if data.augment.drops:
        batch = _more_drops(batch, data.augment.drops, key)
    return batch
