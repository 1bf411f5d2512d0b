"""The loss that teaches the mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit.errors import RecipeError, TrainingError
from restorekit.interface import LossInput


class ChangeMask(nn.Module):
    """Binary cross-entropy of ``mask_logits`` against how much the rain has changed each pixel.

    The target is the largest difference of degraded and clean image over the colours, 0 up to `low` and 1 from `high`
    on (levels of 255), linear between: faint changes are neither hidden nor overstated. Needs ``batch.clean`` and the
    generator's extra ``mask_logits`` [B, 1, H, W].

    Raises `RecipeError` when `low` is not below `high`, and `TrainingError` for what is missing.
    """

    def __init__(self, low: float = 3.0, high: float = 23.0) -> None:
        super().__init__()
        if not 0 <= low < high:
            raise RecipeError(f"change-mask: low={low} and high={high}; give 0 <= low < high, in levels of 255")
        self.low, self.high = low / 255, high / 255

    def forward(self, seen: LossInput) -> Tensor:
        """Return the loss: one scalar, of the precision of its inputs."""
        logits = seen.output.extras.get("mask_logits")
        if not isinstance(logits, Tensor) or seen.batch.clean is None:
            raise TrainingError(
                "loss 'change-mask' needs clean images and a generator that gives 'mask_logits', such as derain;"
                " train on pairs or with data.synthesis, and with that generator"
            )
        change = (seen.batch.degraded - seen.batch.clean).abs().amax(1, keepdim=True)
        target = ((change - self.low) / (self.high - self.low)).clamp(0, 1)
        return F.binary_cross_entropy_with_logits(logits, target.to(torch.float32))
