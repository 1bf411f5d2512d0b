"""Scores of one image under every protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from restorekit.benchmark.records import ImageRecord
from restorekit.metrics.protocols import PROTOCOLS
from restorekit.metrics.quality import score_image
from restorekit.pixels import Pixels, Planes

if TYPE_CHECKING:
    from restorekit.data.sets import RawSample

_USUAL = frozenset(f"{kind}-{protocol}" for protocol in PROTOCOLS for kind in ("psnr", "ssim"))
HEADLINE = "psnr-rgb"  # gains, tests and the order of worst cases are of this score


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use one thread: the planes of one image are too small to share.

    On a busy two-core machine two threads took 1.3 s an image (320 x 480, all protocols) and one took 0.13 s.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def score_pixels(restored_HWC: Pixels | Planes, sample: RawSample) -> dict[str, float]:
    """Return the scores by metric id, ``psnr-rgb`` first; nothing when the sample has no clean image.

    `restored_HWC`: uint8, or float in [0, 1]: protocols round it as each prescribes.
    """
    if sample.clean is None:
        return {}
    with one_thread():
        return score_image(restored_HWC, sample.clean, tuple(PROTOCOLS))


def with_usual_scores(record: ImageRecord) -> ImageRecord:
    """Return a record without the scores of metrics and composed protocols that were asked for once."""
    return replace(record, scores={name: value for name, value in record.scores.items() if name in _USUAL})
