"""Scores of one image under every protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from restorekit.metrics.protocols import PROTOCOLS
from restorekit.metrics.quality import score_image

if TYPE_CHECKING:
    from restorekit.data.sets import RawSample

HEADLINE = "psnr-rgb"  # gains, tests and the order of worst cases are of this score


def score_pixels(restored_HWC: NDArray[Any], sample: RawSample) -> dict[str, float]:
    """Return the scores by metric id, ``psnr-rgb`` first; nothing when the sample has no clean image.

    `restored_HWC`: uint8, or float in [0, 1]: protocols round it as each prescribes.
    """
    if sample.clean is None:
        return {}
    return score_image(restored_HWC, sample.clean, tuple(PROTOCOLS))
