"""Masks of the degraded regions."""

from __future__ import annotations

import torch
from torch import nn

from restorekit.errors import RecipeError, TrainingError
from restorekit.interface import Batch

_TOLERANCE = 1e-3 / 255  # of one 8-bit level: float32 images must be cut at the same pixels as 8-bit ones


class MaskFromPair(nn.Module):
    """Mask of the pixels whose largest difference to the clean image, over R, G, B, is over `threshold`.

    AttentiveGAN's training mask (Qian et al., CVPR 2018, section 4): threshold 30 of 255 levels; a
    difference of exactly 30 is not over it. The maximum over the channels is ours: the paper does not
    say. A mask that the data brought is replaced unless `keep` is set. Gives `mask` [B, 1, H, W] in {0,
    1}, dtype of `degraded`.
    """

    def __init__(self, threshold: float = 30 / 255, keep: bool = False) -> None:
        super().__init__()
        if not 0 <= threshold < 1:
            raise RecipeError(
                f"mask-from-pair: threshold is {threshold}; it is a difference of images in [0, 1], such as 30 / 255"
            )
        self.threshold, self.keep = threshold, keep

    @torch.no_grad()
    def forward(self, batch: Batch) -> Batch:
        """Return the batch with its mask. Raises `TrainingError` without clean images to compare with."""
        if self.keep and batch.mask is not None:
            return batch
        if batch.clean is None:
            raise TrainingError(
                "prior 'mask-from-pair' needs clean images, and the data have none; train on a paired data set"
            )
        difference = (batch.degraded.float() - batch.clean.float()).abs().amax(dim=1, keepdim=True)
        return batch.replace(mask=(difference > self.threshold + _TOLERANCE).to(batch.degraded.dtype))
