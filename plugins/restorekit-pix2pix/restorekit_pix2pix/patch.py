"""PatchGAN, the discriminator of pix2pix: Isola et al., CVPR 2017 (arXiv 1611.07004), appendix 6.1.2."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restorekit.errors import RecipeError
from restorekit.interface import Judgement
from restorekit_pix2pix.layers import initialise, to_signed

SLOPE = 0.2


class PatchDiscriminator(nn.Module):
    """Judge every patch of (degraded, candidate), both [B, 3, H, W] in [0, 1].

    Returns a `Judgement` with logits [B, 1, H', W'], H' = H / 2**`layers` - 2; each sees 70x70 pixels at
    three layers. `width`: channels of the first layer, doubled up to 8 `width`. `layers`: strided
    convolutions. H and W are at least 3 * 2**`layers`.

    Raises `RecipeError` for settings that no network can have and for images that are too small.
    """

    def __init__(self, *, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        if width < 1 or layers < 1:
            raise RecipeError(
                f"discriminator.width is {width} and discriminator.layers is {layers}; give at least 1 each"
            )
        self.smallest = 3 * 2**layers
        widths = [6, *(width * min(2**i, 8) for i in range(layers + 1))]
        blocks: list[nn.Module] = []
        for i in range(layers + 1):
            stride = 2 if i < layers else 1
            blocks.append(nn.Conv2d(widths[i], widths[i + 1], 4, stride, 1, bias=i == 0))
            if i:
                blocks.append(nn.BatchNorm2d(widths[i + 1]))
            blocks.append(nn.LeakyReLU(SLOPE))
        self.features = nn.Sequential(*blocks)
        self.to_logits = nn.Conv2d(widths[-1], 1, 4, 1, 1)
        initialise(self)

    def forward(self, candidate: Tensor, degraded: Tensor) -> Judgement:
        """Judge `candidate` as a restoration of `degraded`."""
        height, width = candidate.shape[-2:]
        if min(height, width) < self.smallest:
            raise RecipeError(
                f"the patch discriminator was given {width}x{height} pixels; it needs at least"
                f" {self.smallest}: raise data.crop or lower discriminator.layers"
            )
        features = self.features(to_signed(torch.cat((degraded, candidate), 1)))
        return Judgement(self.to_logits(features))
