"""Where a model saw rain or drops: the mask that some networks give beside the image, as files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from restorekit.data.images import Picture, atomic_write, read_picture
from restorekit.errors import DataError, RestorekitError
from restorekit.interface import Output, SizeRule
from restorekit.plugin.registry import registry
from restorekit.restoring.planning import MASK, Job
from restorekit.restoring.restorer import BaseRestorer, Restorer
from restorekit.restoring.video import VideoOptions, VideoProgress, restore_video

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


def mask_path(job: Job) -> Path:
    """Return where a result's mask is written: ``a-mask.png`` beside ``a.jpg``, ``b-mask.mp4`` beside ``b.mp4``."""
    target = job.target
    return target.with_name(f"{target.stem}{MASK}{target.suffix if job.clip else '.png'}")


def check_masks(jobs: Sequence[Job]) -> None:
    """Raise `DataError` when a mask would be written where a result or another mask is."""
    taken = {job.target.resolve(): job.source for job in jobs}
    for job in jobs:
        mask = mask_path(job).resolve()
        other = taken.setdefault(mask, job.source)
        if other is not job.source:
            raise DataError(
                f"{mask}: the mask of {job.source} would be written there, and so would what belongs to {other}; rename"
                " one, or leave --save-mask out"
            )


def missing_masks(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs whose result is there and has no mask, or is new."""
    return [job for job in jobs if job.target.is_file() and not (job.done and mask_path(job).is_file())]


def save_masks(
    jobs: Sequence[Job],
    restorer: BaseRestorer,
    progress: Callable[[float], None] | None = None,
    video: VideoOptions | None = None,
) -> list[tuple[Path, str]]:
    """Write the mask of each job's source, white where the model sees rain or drops.

    A picture's is a grey PNG of 8 bits, a clip's a clip of grey frames, encoded as `video` says. The network runs once
    more for it. `restorer`: see `mask_restorer`. `progress` is called with how many are written, a clip's frames
    counted as parts of one. Returns (file, message) of those that failed.
    """
    failed: list[tuple[Path, str]] = []
    tell = progress or (lambda done: None)
    for index, job in enumerate(jobs):
        try:
            if job.clip:
                _save_clip(job, restorer, video, partial(_tell_frame, tell, index))
            else:
                _save(job, restorer)
        except RestorekitError as error:
            failed.append((job.source, f"{mask_path(job)}: {error}"))
        tell(index + 1)
    return failed


def _tell_frame(tell: Callable[[float], None], before: int, frames: int, total: int | None) -> None:
    if total:
        tell(before + min(frames / total, 1))


def _save_clip(job: Job, restorer: BaseRestorer, video: VideoOptions | None, tick: VideoProgress) -> None:
    path = mask_path(job)
    done = restore_video(job.source, path, restorer, options=video, overwrite=path.is_file(), progress=tick)
    if done.broken:
        raise DataError(done.broken)


def _save(job: Job, restorer: BaseRestorer) -> None:
    # as a picture, so that a large one is done strip by strip
    mask = restorer.restore_picture(Picture(read_picture(job.source).pixels)).to_8_bit()
    image = Image.fromarray(mask.pixels[..., 0])
    atomic_write(mask_path(job), lambda file: image.save(file, "PNG"))
