"""Contrastive loss: near the clean image, far from the degraded one (against white spots that drops leave)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit.backbones.pretrained import FrozenHolder
from restorekit.backbones.vgg import VGG16Features
from restorekit.errors import RecipeError
from restorekit.interface import LossInput
from restorekit.losses._inputs import clean_of

_EPS = 1e-6
_VGG_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
_VGG_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # AECR-Net, section 4: deeper features weigh more


class PyramidFeatures(nn.Module):
    """A Gaussian-like pyramid with its gradients; needs no weights.

    Per level: colour and signed differences to the right and lower neighbour, then 2x2 means (odd borders
    are kept) give the next level, until `levels` or one pixel. Coarse colour sees a white spot as a
    whole, gradients see its rim.
    """

    def __init__(self, levels: int = 4) -> None:
        super().__init__()
        if levels < 1:
            raise RecipeError(f"contrastive: levels is {levels}; it must be at least 1")
        self.levels = levels

    def forward(self, image_BCHW: Tensor) -> list[Tensor]:
        """Return the levels of [B, C, H, W], each with its differences to the right and downwards."""
        found = []
        for _ in range(self.levels):
            right = F.pad(image_BCHW.diff(dim=3), (0, 1))
            down = F.pad(image_BCHW.diff(dim=2), (0, 0, 0, 1))
            found.append(torch.cat((image_BCHW, right, down), dim=1))
            if max(image_BCHW.shape[-2:]) == 1:
                break
            image_BCHW = F.avg_pool2d(image_BCHW, 2, ceil_mode=True)
        return found


class Contrastive(FrozenHolder):
    """Weighted mean of p / (p + n) over features: p = L1 to the clean, n = L1 to the degraded, per image.

    After AECR-Net (Wu et al., CVPR 2021, eq. 7), which takes the ratio p / n. That has no bound where a
    generator starts as the identity (n = 0); with r = p / n ours is r / (1 + r): same order and minimum,
    between 0 (output = clean) and 1 (output = degraded). `form`: ``bounded`` or the paper's ``ratio``.
    `features`: ``pyramid`` (`PyramidFeatures`, works offline, all levels alike) or the paper's ``vgg``
    (VGG16 in place of VGG19; `weights`: ``hub`` or a file).
    """

    network: nn.Module

    def __init__(
        self,
        features: Literal["pyramid", "vgg"] = "pyramid",
        form: Literal["bounded", "ratio"] = "bounded",
        levels: int = 4,
        weights: str = "hub",
    ) -> None:
        if features not in ("pyramid", "vgg") or form not in ("bounded", "ratio"):
            raise RecipeError(
                f"contrastive: features={features!r}, form={form!r}; features must be 'pyramid' or"
                " 'vgg', and form"
                " 'bounded' or 'ratio'"
            )
        super().__init__(VGG16Features(_VGG_LAYERS, weights) if features == "vgg" else PyramidFeatures(levels))
        self.form = form
        self.shares: Sequence[float] = _VGG_WEIGHTS if features == "vgg" else (1.0,) * levels

    def _term(self, image: Tensor, clean: Tensor, degraded: Tensor) -> Tensor:
        near = (image - clean).abs().flatten(1).mean(dim=1)
        far = (image - degraded).abs().flatten(1).mean(dim=1)
        below = near + far if self.form == "bounded" else far
        return (near / (below + _EPS)).mean()

    def forward(self, seen: LossInput) -> Tensor:
        """Return the loss: one scalar, of the precision of its inputs."""
        with torch.no_grad():
            clean = self.network(clean_of(seen, "contrastive"))
            degraded = self.network(seen.batch.degraded)
        image = self.network(seen.output.image)
        shares = self.shares[: len(image)]
        terms = [share * self._term(*features) for share, *features in zip(shares, image, clean, degraded, strict=True)]
        return torch.stack(terms).sum() / sum(shares)
