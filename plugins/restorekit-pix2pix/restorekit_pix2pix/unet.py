"""The U-Net of pix2pix: Isola et al., CVPR 2017 (arXiv 1611.07004), appendix 6.1, with attention variants."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.errors import RecipeError, closest
from restorekit.interface import SizeRule
from restorekit_pix2pix.attention import ATTENTION, build_attention
from restorekit_pix2pix.layers import initialise, to_signed, to_unit, use_batch_statistics

SLOPE = 0.2
FIRST_DROPOUT_LEVEL = 4  # of the encoder levels, counted from 0; the innermost has none


class DownBlock(nn.Module):
    """LeakyReLU (not on the image), 4x4 convolution of stride 2, batch norm, attention.

    [B, inside, H, W] -> [B, outside, H/2, W/2].
    """

    def __init__(self, inside: int, outside: int, *, first: bool, norm: bool, attention: str) -> None:
        super().__init__()
        self.first = first
        self.conv = nn.Conv2d(inside, outside, 4, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(outside) if norm else nn.Identity()
        self.attention = build_attention(attention, outside)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features of the next level."""
        active = features if self.first else F.leaky_relu(features, SLOPE)
        attended: Tensor = self.attention(self.norm(self.conv(active)))
        return attended


class UpBlock(nn.Module):
    """ReLU, transposed 4x4 convolution of stride 2, batch norm, dropout.

    [B, inside, H, W] -> [B, outside, 2 H, 2 W].
    """

    def __init__(self, inside: int, outside: int, *, last: bool, dropout: float) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(inside, outside, 4, 2, 1, bias=last)
        self.norm = nn.Identity() if last else nn.BatchNorm2d(outside)
        self.dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Return the features of the next level."""
        larger: Tensor = self.dropout(self.norm(self.conv(F.relu(features))))
        return larger


class UNetGenerator(nn.Module):
    """degraded [B, 3, H, W] in [0, 1], H and W multiples of 2**`levels` -> image [B, 3, H, W] in [0, 1].

    Inside, images are in [-1, 1] and end in tanh. `width`: channels of the first level, doubled up to
    8 `width`. `levels`: halvings of the size. `attention`: ``none``, ``channel``, ``spatial`` or ``both``,
    behind every encoder convolution. `dropout`: its probability in the levels after the innermost that
    work at 1/32 of the size or less (three at 8 levels). `batch_statistics`: run batch statistics and
    dropout when restoring too, as the source does; the result is then random and depends on the rest of
    the batch.

    Raises `RecipeError` for settings that no network can have.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        levels: int = 8,
        attention: str = "none",
        dropout: float = 0.5,
        batch_statistics: bool = False,
    ) -> None:
        super().__init__()
        _check(width, levels, attention, dropout)
        self.size_rule = SizeRule(multiple=2**levels, minimum=2**levels)
        self.batch_statistics = batch_statistics
        widths = [width * min(2**level, 8) for level in range(levels)]
        last = levels - 1
        self.down = nn.ModuleList(
            DownBlock(
                widths[level - 1] if level else 3,
                widths[level],
                first=level == 0,
                norm=0 < level < last,
                attention=attention,
            )
            for level in range(levels)
        )
        self.up = nn.ModuleList(
            UpBlock(
                widths[level] * (1 if level == last else 2),
                widths[level - 1] if level else 3,
                last=level == 0,
                dropout=dropout if FIRST_DROPOUT_LEVEL <= level < last else 0.0,
            )
            for level in reversed(range(levels))
        )
        initialise(self)

    def forward(self, degraded: Tensor) -> Tensor:
        """Restore `degraded`; see the class for shapes."""
        features = to_signed(degraded)
        skips: list[Tensor] = []
        for down in self.down:
            features = down(features)
            skips.append(features)
        features = self.up[0](skips.pop())
        for up in self.up[1:]:
            features = up(torch.cat((skips.pop(), features), 1))
        return to_unit(torch.tanh(features))

    def train(self, mode: bool = True) -> UNetGenerator:
        """Set the mode; with `batch_statistics`, evaluation keeps batch statistics and dropout."""
        super().train(mode)
        if self.batch_statistics:
            use_batch_statistics(self, update=mode)
        return self


def _check(width: int, levels: int, attention: str, dropout: float) -> None:
    if width < 2 or levels < 2:
        raise RecipeError(f"generator.width is {width} and generator.levels is {levels}; give at least 2 each")
    if attention not in ATTENTION:
        raise RecipeError(
            f"generator.attention is {attention!r}; use one of {', '.join(ATTENTION)}." + closest(attention, ATTENTION)
        )
    if not 0 <= dropout < 1:
        raise RecipeError(f"generator.dropout is {dropout}; give a probability from 0 to below 1")
