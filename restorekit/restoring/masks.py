"""Where a model saw rain or drops: the mask that some networks give beside the image, as files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor, nn

from restorekit.data.images import Picture, atomic_write, read_picture
from restorekit.errors import DataError, RestorekitError
from restorekit.interface import Output, SizeRule
from restorekit.plugin.registry import registry
from restorekit.restoring.restorer import BaseRestorer, Restorer

if TYPE_CHECKING:
    from restorekit.restoring.planning import Job

_PROBE = 16  # pixels per side of the image that shows what a network gives


class MaskOf(nn.Module):
    """A network's mask as a grey image [B, 3, H, W] in [0, 1], so that padding, tiles and mirroring apply to it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.size_rule = SizeRule.of(network)

    def forward(self, degraded: Tensor) -> Tensor:
        """Return the mask of degraded [B, 3, H, W] in [0, 1]."""
        mask = Output.of(self.network(degraded)).extras["mask"]
        assert isinstance(mask, Tensor)
        return mask.float().expand_as(degraded)


def _gives_mask(network: nn.Module, device: torch.device) -> bool:
    side = SizeRule.of(network).padded(_PROBE)
    with torch.inference_mode():
        extras = Output.of(network(torch.zeros(1, 3, side, side, device=device))).extras
    mask = extras.get("mask")
    return isinstance(mask, Tensor) and mask.shape == (1, 1, side, side)


def mask_restorer(restorer: BaseRestorer) -> BaseRestorer:
    """Return a restorer that gives the mask of `restorer`'s network in place of the restored image.

    Raises `RestorekitError` when the model gives none, naming those that do.
    """
    name = restorer.info.model or "this model"
    if not isinstance(restorer, Restorer) or not _gives_mask(restorer.generator, restorer.device):
        givers = sorted(c.entry.name for c in registry().components("generator") if "mask" in c.entry.gives)
        remedy = f"use a model with the generator {' or '.join(givers)}" if givers else "no installed model gives one"
        raise RestorekitError(f"{name} gives no mask, so --save-mask has nothing to save; {remedy}")
    settings = {name: getattr(restorer, name) for name in ("device", "precision", "tile", "flips", "info")}
    return Restorer(MaskOf(restorer.generator), **settings)


def mask_path(target: Path) -> Path:
    """Return where the mask of a result is written: ``photo-mask.png`` beside ``photo.jpg``."""
    return target.with_name(f"{target.stem}-mask.png")


def check_masks(jobs: Sequence[Job]) -> None:
    """Raise `DataError` when a mask would be written where a result or another mask is."""
    taken = {job.target.resolve(): job.source for job in jobs}
    for job in jobs:
        if job.clip:
            continue
        mask = mask_path(job.target).resolve()
        other = taken.setdefault(mask, job.source)
        if other is not job.source:
            raise DataError(
                f"{mask}: the mask of {job.source} would be written there, and so would what belongs to {other}; rename"
                " one, or leave --save-mask out"
            )


def missing_masks(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs whose result is there and has no mask, or is new. Clips have none."""
    return [
        job
        for job in jobs
        if not job.clip and job.target.is_file() and not (job.done and mask_path(job.target).is_file())
    ]


def save_masks(
    jobs: Sequence[Job], restorer: BaseRestorer, progress: Callable[[int], None] | None = None
) -> list[tuple[Path, str]]:
    """Write the mask of each job's source as a grey PNG of 8 bits, white where the model sees rain or drops.

    The network runs once more for it. `restorer`: see `mask_restorer`. Returns (file, message) of those that failed.
    """
    failed: list[tuple[Path, str]] = []
    for index, job in enumerate(jobs, start=1):
        try:
            _save(job, restorer)
        except RestorekitError as error:
            failed.append((job.source, f"{mask_path(job.target)}: {error}"))
        if progress:
            progress(index)
    return failed


def _save(job: Job, restorer: BaseRestorer) -> None:
    # as a picture, so that a large one is done strip by strip
    mask = restorer.restore_picture(Picture(read_picture(job.source).pixels)).to_8_bit()
    image = Image.fromarray(mask.pixels[..., 0])
    atomic_write(mask_path(job.target), lambda file: image.save(file, "PNG"))
