"""Losses that compare pixel by pixel."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit.errors import RecipeError
from restorekit.interface import LossInput
from restorekit.losses._inputs import clean_of, mask_of, references_of


class L1(nn.Module):
    """Mean absolute difference of the output and the clean image."""

    def forward(self, seen: LossInput) -> Tensor:
        """Return the loss: one scalar, of the precision of its inputs."""
        return F.l1_loss(seen.output.image, clean_of(seen, "l1"))


class MSE(nn.Module):
    """Mean squared difference of the output and the clean image."""

    def forward(self, seen: LossInput) -> Tensor:
        """Return the loss: one scalar, of the precision of its inputs."""
        return F.mse_loss(seen.output.image, clean_of(seen, "mse"))


class Charbonnier(nn.Module):
    """Mean of sqrt(d^2 + eps^2), d the difference of output and clean image; a smooth L1.

    Charbonnier et al., ICIP 1994. `eps`: in image units, above 0; the loss of equal images is `eps`.
    """

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        if eps <= 0:
            raise RecipeError(f"charbonnier: eps is {eps}; it must be above 0 (for 0 use the loss 'l1')")
        self.eps = eps

    def forward(self, seen: LossInput) -> Tensor:
        """Return the loss: one scalar, of the precision of its inputs."""
        difference = seen.output.image - clean_of(seen, "charbonnier")
        return (difference.square() + self.eps**2).sqrt().mean()


class PSNRLoss(nn.Module):
    """Mean over images of 10 log10(1 + MSE / floor), floor = 10^(-`ceiling` / 10): dB below `ceiling`, at least 0.

    Far below `ceiling` (dB) its gradient is that of -PSNR, so that each image counts by the share of its error that is
    mended, not by how much error it has: lightly degraded images are not outvoted by heavy ones. As in Chen et al.,
    HINet, CVPR Workshops 2021; there without the 1, which keeps perfect images finite and at 0.
    """

    def __init__(self, ceiling: float = 50.0) -> None:
        super().__init__()
        if ceiling <= 0:
            raise RecipeError(f"psnr: ceiling is {ceiling} dB; it must be above 0, such as 50")
        self.ceiling = ceiling

    def forward(self, seen: LossInput) -> Tensor:
        """Return the loss: one scalar, of the precision of its inputs."""
        difference = seen.output.image - clean_of(seen, "psnr")
        error = difference.square().mean((1, 2, 3))
        return 10 / math.log(10) * torch.log1p(error * 10 ** (self.ceiling / 10)).mean()


class MaskedL1(nn.Module):
    """Mean over all pixels of w |output - clean|: w is `inside` where the mask is 1, else `outside`.

    Not divided by the sum of the weights: the mean over micro-batches then equals that over the batch.
    """

    def __init__(self, inside: float = 4.0, outside: float = 1.0) -> None:
        super().__init__()
        if inside < 0 or outside < 0:
            raise RecipeError(f"masked-l1: inside={inside}, outside={outside}; neither may be negative")
        self.inside, self.outside = inside, outside

    def forward(self, seen: LossInput) -> Tensor:
        """Return the loss: one scalar, of the precision of its inputs."""
        mask = mask_of(seen, "masked-l1")
        weight = self.outside + (self.inside - self.outside) * mask
        return (weight * (seen.output.image - clean_of(seen, "masked-l1")).abs()).mean()


class References(nn.Module):
    """Mean squared difference of the output and the K references of a prior.

    `mean`: compare with the mean of the references instead. The gradient is the same; the value is lower by
    the variance of the references, and the K differences are never held in memory.
    """

    def __init__(self, mean: bool = False) -> None:
        super().__init__()
        self.mean = mean

    def forward(self, seen: LossInput) -> Tensor:
        """Return the loss: one scalar, of the precision of its inputs."""
        references = references_of(seen, "references")
        if self.mean:
            return F.mse_loss(seen.output.image, references.mean(dim=1))
        return torch.mean((seen.output.image[:, None] - references).square())
