"""The contextual autoencoder: restores the image, and two smaller versions of it (section 4.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DILATIONS = (2, 4, 8, 16)
COLOURS = 3
HEADROOM = 0.5
CORRECTION_SCALE = 0.1


def conv_relu(inside: int, outside: int, size: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the size (at stride 1), and a ReLU."""
    padding = dilation * (size - 1) // 2
    return nn.Sequential(nn.Conv2d(inside, outside, size, stride, padding, dilation), nn.ReLU(inplace=True))


class SmoothUpsampling(nn.Module):
    """Double the size: [B, inside, H, W] -> [B, outside, 2 H, 2 W], not negative.

    A transposed 4x4 convolution of stride 2, then a 2x2 mean of stride 1 against its checkerboard
    pattern; one reflected row above and column on the left keep the size.
    """

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.transposed = nn.ConvTranspose2d(inside, outside, 4, 2, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the larger features."""
        padded = F.pad(self.transposed(features), (1, 0, 1, 0), mode="reflect")
        return F.relu(F.avg_pool2d(padded, 2, stride=1), inplace=True)


def _carry_colours(layer: nn.Conv2d) -> None:
    """Make the first three channels of `layer` the first three of its input; at stride 2, their mean over 2x2."""
    row, column = (size // 2 for size in layer.kernel_size)
    layer.weight[:COLOURS] = 0
    for colour in range(COLOURS):
        kernel = layer.weight[colour, colour]
        if layer.stride[0] == 1:
            kernel[row, column] = 1
        else:
            kernel[row : row + 2, column : column + 2] = 0.25


def _leave_room(upsampling: SmoothUpsampling, decoder: nn.Sequential) -> None:
    """Let the colours of `upsampling` start at `HEADROOM` and small, and take that away again in `decoder`."""
    room = torch.tensor([HEADROOM] * COLOURS)
    upsampling.transposed.weight[:, :COLOURS] *= CORRECTION_SCALE
    upsampling.get_parameter("transposed.bias")[:COLOURS] = room
    decoder.get_parameter("0.bias")[:COLOURS] = -room


class ContextualAutoencoder(nn.Module):
    """image and attention map [B, 4, H, W] -> restored images at 1/4, 1/2 and full size, RGB."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        half, quarter = 2 * width, 4 * width
        self.full_encoder = conv_relu(4, width, 5)
        self.half_encoder = nn.Sequential(conv_relu(width, half, stride=2), conv_relu(half, half))
        self.bottleneck = nn.Sequential(
            conv_relu(half, quarter, stride=2),
            conv_relu(quarter, quarter),
            conv_relu(quarter, quarter),
            *(conv_relu(quarter, quarter, dilation=d) for d in DILATIONS),
            conv_relu(quarter, quarter),
            conv_relu(quarter, quarter),
        )
        self.quarter_output = conv_relu(quarter, 3)
        self.to_half = SmoothUpsampling(quarter, half)
        self.half_decoder = conv_relu(half, half)
        self.half_output = conv_relu(half, 3)
        self.to_full = SmoothUpsampling(half, width)
        self.full_decoder = conv_relu(width, width // 2)
        self.full_output = nn.Conv2d(width // 2, 3, 3, padding=1)

    @torch.no_grad()
    def start_at_identity(self) -> None:
        """Let three channels carry R, G and B through every layer, so that each output is the image at its size.

        The biases must be zero. Upsampled features are added to these channels, and a ReLU follows: they start above
        zero, so that training can darken the image as well as brighten it.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                _carry_colours(layer)
        _leave_room(self.to_half, self.half_decoder)
        _leave_room(self.to_full, self.full_decoder)

    def forward(self, guided: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (quarter, half, full); the first two are not negative."""
        full_skip = self.full_encoder(guided)
        half_skip = self.half_encoder(full_skip)
        deep = self.bottleneck(half_skip)
        middle = self.half_decoder(self.to_half(deep) + half_skip)
        # In float32 under autocast too: the image is the small difference of what these two layers carry, and bfloat16
        # would cost up to 0.16 dB.
        carried = self.to_full(middle) + full_skip
        with torch.autocast(guided.device.type, enabled=False):
            carried = carried.to(self.full_output.weight.dtype)
            full = self.full_output(self.full_decoder(carried))
        return self.quarter_output(deep), self.half_output(middle), full
