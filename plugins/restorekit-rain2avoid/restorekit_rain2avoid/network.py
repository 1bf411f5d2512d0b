"""The U-Net that Rain2Avoid trains on its references (4,539,988 parameters at width 64)."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from restorekit.errors import RecipeError, closest
from restorekit.interface import SizeRule

Start = Literal["random", "input"]

_KERNELS = (7, 5, 5, 3)
_GROWTH = (1, 2, 4, 8)
_FAINT = 0.01  # of the usual initial weights; with 0 no gradient would reach the other layers


def _encoder_level(inputs: int, outputs: int, kernel: int, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2, bias=False),
    ]
    if norm:
        layers.append(nn.BatchNorm2d(outputs))
    return nn.Sequential(*layers, nn.ReLU())


class _DecoderLevel(nn.Module):
    """Twice the size, the skip, a 3x3 convolution, batch norm, LeakyReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """From features [B, C, H, W] and skip [B, D, 2 H, 2 W], C + D `inputs` -> [B, outputs, 2 H, 2 W]."""
        return functional.leaky_relu(self.norm(_enlarge_join_convolve(self.convolution, features, skip)), 0.2)


class RainUNet(nn.Module):
    """Four strided levels down, four nearest-neighbour levels up, the input itself as the last skip.

    `width`: channels of the first level; the others have 2, 4 and 8 times as many. `start`: the initial weights of the
    last layer; with ``"input"`` the untrained network gives the input, within about a level. ``forward`` maps
    [B, 3, H, W] in [0, 1] to [B, 3, H, W], not clipped. H and W are multiples of 16.

    Raises `RecipeError` for an unknown `start`.

    Source: Rain2Avoid, the network of its SDRL step (see the plugin's page for the layers).
    """

    # Batch norm cannot learn from a single position, and 16 pixels leave no more at the lowest level.
    size_rule = SizeRule(multiple=16, minimum=32)

    def __init__(self, *, width: int = 64, start: Start = "random") -> None:
        super().__init__()
        if start not in get_args(Start):
            raise RecipeError(
                f"rain-unet: start {start!r} is unknown; use random or input.{closest(start, get_args(Start))}"
            )
        widths = [width * factor for factor in _GROWTH]
        levels = zip(pairwise([3, *widths]), _KERNELS, strict=True)
        self.encoder = nn.ModuleList(
            _encoder_level(inputs, outputs, kernel, norm=index > 0)
            for index, ((inputs, outputs), kernel) in enumerate(levels)
        )
        self.decoder = nn.ModuleList(
            _DecoderLevel(deep + skip, skip) for skip, deep in reversed(list(pairwise(widths)))
        )
        self.head = nn.Conv2d(width + 3, 3, 3, padding=1)
        if start == "input":
            self._start_from_input(width)

    @torch.no_grad()
    def _start_from_input(self, width: int) -> None:
        """Let the last layer copy its last three channels, which are the input's."""
        self.head.weight.mul_(_FAINT)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        for channel in range(3):
            self.head.weight[channel, width + channel, 1, 1] = 1.0

    def forward(self, degraded: Tensor) -> Tensor:
        """Return the restored image [B, 3, H, W] for `degraded` [B, 3, H, W]."""
        features = degraded
        skips = []
        for level in self.encoder:
            skips.append(features)
            features = level(features)
        for level in self.decoder:
            features = level(features, skips.pop())
        return _enlarge_join_convolve(self.head, features, skips.pop())


def _enlarge_join_convolve(convolution: nn.Conv2d, features: Tensor, skip: Tensor) -> Tensor:
    """Return the 3x3 `convolution` of `features` at twice their size (nearest) and `skip`, concatenated.

    Four neighbours of an enlarged map are one value, and nine products are four: a transposed convolution of the small
    map gives the same, without the large one.
    """
    weight, count = convolution.weight, features.shape[1]
    enlarged = functional.conv_transpose2d(features, _kernel_before_enlarging(weight[:, :count]), stride=2, padding=1)
    return enlarged + functional.conv2d(skip, weight[:, count:], convolution.bias, padding=1)


def _kernel_before_enlarging(weight: Tensor) -> Tensor:
    """Return the transposed kernel [in, out, 4, 4] that enlarges and then convolves with `weight` [out, in, 3, 3]."""
    flipped = weight.transpose(0, 1).flip(-1, -2)
    taller = functional.pad(flipped, (0, 0, 0, 1)) + functional.pad(flipped, (0, 0, 1, 0))
    return functional.pad(taller, (0, 1)) + functional.pad(taller, (1, 0))
