"""A residual U-Net at half resolution whose output is the input plus a gated correction."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit.errors import RecipeError
from restorekit.interface import Output, SizeRule
from restorekit.layers import GlobalMean
from restorekit_derain.head import Look, adapted, averaged, mean, unveiled

_SHUFFLE = 2
_COLOURS = 3
_FINE = 2 * _COLOURS + 2  # maps at full resolution: correction, mask, behind, covered


class ResidualBlock(nn.Module):
    """x + conv3x3(ReLU(conv3x3(x))), without a norm (Lim et al., EDSR, CVPR Workshops 2017).

    [B, C, H, W] -> the same. The second convolution starts at a tenth of He's initialisation: from zero, the first
    thousands of crops teach nothing.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        _initialise(self.first)
        _initialise(self.second, gain=0.1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features [B, width, H, W] to the same shape."""
        changed: Tensor = features + self.second(F.relu(self.first(features), inplace=True))
        return changed


class NAFBlock(nn.Module):
    """A block of NAFNet: simple gate and simplified channel attention (Chen et al., ECCV 2022, figure 2c).

    [B, C, H, W] -> the same. Its norm is over all channels and pixels of an image (group norm with one group) in
    place of the paper's layer norm over channels, and its channel attention averages over the image: the reach is not
    bounded.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) for _ in range(2))
        self.widen = nn.ModuleList(nn.Conv2d(width, 2 * width, 1) for _ in range(2))
        self.depthwise = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.attention = nn.Conv2d(width, width, 1)
        self.project = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(2))
        self.scales = nn.ParameterList(torch.zeros(1, width, 1, 1) for _ in range(2))

    def forward(self, features: Tensor) -> Tensor:
        """Map features [B, width, H, W] to the same shape."""
        gated = _simple_gate(self.depthwise(self.widen[0](self.norms[0](features))))
        gated = gated * self.attention(gated.mean((2, 3), keepdim=True))
        features = features + self.scales[0] * self.project[0](gated)
        gated = _simple_gate(self.widen[1](self.norms[1](features)))
        changed: Tensor = features + self.scales[1] * self.project[1](gated)
        return changed


BLOCKS: dict[str, type[nn.Module]] = {"residual": ResidualBlock, "naf": NAFBlock}


def _simple_gate(features: Tensor) -> Tensor:
    first, second = features.chunk(2, dim=1)
    return first * second


def _initialise(layer: nn.Module, nonlinearity: Literal["relu", "linear"] = "relu", gain: float = 1.0) -> None:
    """Draw a convolution's weights by He et al. (ICCV 2015), times `gain`; no bias at first."""
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    nn.init.kaiming_normal_(layer.weight, nonlinearity=nonlinearity)
    layer.weight.data.mul_(gain)
    nn.init.zeros_(layer.bias)


class Derain(nn.Module):
    """Find what rain has changed in an image, and take only that away.

    degraded [B, 3, H, W] in [0, 1], height and width multiples of 16 -> `Output` with image = degraded + mask *
    ((1 - covered) * (unveiled + correction) + covered * behind - degraded), not clipped, and the extras ``mask``
    [B, 1, H, W] in [0, 1], where the image was changed, and ``mask_logits``, the same before the sigmoid. `covered` in
    [0, 1] says which of two ways fits: what shines through is freed of a smooth veil (`unveiled`) and corrected, and
    what is hidden is replaced by what may be `behind` it, told as a difference from what the surroundings alone would
    give (`filled`). Where the mask is 0 the image comes back bit for bit.

    A U-Net (Ronneberger et al. 2015) over the image at half resolution with 12 channels (pixel unshuffle, Shi et al.,
    CVPR 2016): full resolution with few channels leaves matrix units idle. Levels are halved by 2x2 convolutions and
    doubled by pixel shuffles; skips are added. `widths`: channels of each level, from half resolution down; `blocks`:
    residual blocks of each level, the last one's in the middle, the others on both sides; `block`: ``residual`` or
    ``naf``. With residual blocks the reach is bounded, so that tiles show no seams. `mirrored`: in evaluation, look at
    the mirror image (left to right) too, and average (Lim et al., EDSR, CVPR Workshops 2017, section 3.4, with one of
    their seven flips: rain falls, and light comes from above); twice the time. `adaptive`: in evaluation, the less of a
    picture the mask covers, the surer it must be (`adapted`).

    Raises `RecipeError` for settings that no network can have.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (32, 64, 128, 256),
        blocks: Sequence[int] = (1, 1, 2, 4),
        block: str = "residual",
        mirrored: bool = True,
        adaptive: bool = True,
    ) -> None:
        super().__init__()
        _check(widths, blocks, block)
        self.mirrored, self.adaptive = mirrored, adaptive
        self.share = GlobalMean()
        self.size_rule = SizeRule(multiple=_SHUFFLE * 2 ** (len(widths) - 1))
        kind = BLOCKS[block]
        steps = list(itertools.pairwise(widths))

        def level(index: int) -> nn.Sequential:
            return nn.Sequential(*(kind(widths[index]) for _ in range(blocks[index])))

        self.head = nn.Conv2d(_COLOURS * _SHUFFLE**2, widths[0], 3, padding=1)
        self.encoders = nn.ModuleList(level(index) for index in range(len(widths)))
        self.downs = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.ups = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in steps)
        self.decoders = nn.ModuleList(level(index) for index in range(len(steps)))
        self.tail = nn.Conv2d(widths[0], _FINE * _SHUFFLE**2 + _COLOURS + 1, 3, padding=1)
        for layer in (self.head, *self.downs, *self.ups):
            _initialise(layer, "linear")
        _initialise(self.tail, "linear", gain=0.05)
        nn.init.zeros_(self.tail.weight[_FINE * _SHUFFLE**2 :])  # at first there is no veil

    def forward(self, degraded: Tensor) -> Output:
        """Restore `degraded`; see the class for shapes."""
        looks = [self._look(degraded)]
        if self.training:
            return looks[0].result(looks[0].logits)
        if self.mirrored:
            looks.append(self._look(degraded.flip(-1)).flipped())
        logits = [look.logits for look in looks]
        if self.adaptive:
            share = self.share(mean([torch.sigmoid(each) for each in logits]))
            logits = [adapted(each, share) for each in logits]
        return averaged([look.result(each) for look, each in zip(looks, logits, strict=True)])

    def _look(self, degraded: Tensor) -> Look:
        features = self.head(F.pixel_unshuffle(degraded, _SHUFFLE))
        skips: list[Tensor] = []
        for encoder, down in zip(self.encoders, self.downs, strict=False):
            skips.append(encoder(features))
            features = down(skips[-1])
        features = self.encoders[-1](features)
        levels = zip(self.ups, self.decoders, skips, strict=True)
        for up, decoder, skip in reversed(list(levels)):
            features = decoder(F.pixel_shuffle(up(features), 2) + skip)
        fine, light, density = torch.split(self.tail(features).float(), [_FINE * _SHUFFLE**2, _COLOURS, 1], dim=1)
        found = F.pixel_shuffle(fine, _SHUFFLE)
        correction, logits, behind, covered = torch.split(found, [_COLOURS, 1, _COLOURS, 1], dim=1)
        through = unveiled(degraded, light, density) + correction
        return Look(degraded, logits, through, behind, torch.sigmoid(covered), levels=len(skips) + 1)


def _check(widths: Sequence[int], blocks: Sequence[int], block: str) -> None:
    if len(widths) < 2 or len(widths) != len(blocks) or min(*widths, *blocks) < 1:
        raise RecipeError(
            f"generator.widths is {list(widths)} and generator.blocks is {list(blocks)}; give one width and one number"
            " of blocks for each of at least 2 levels, all of them at least 1"
        )
    if block not in BLOCKS:
        raise RecipeError(f"generator.block is {block!r}; use one of {', '.join(BLOCKS)}")
