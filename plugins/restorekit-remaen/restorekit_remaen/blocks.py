"""The building blocks of ReMAEN (Yang and Lu, ICME 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers import GlobalMean

SLOPE = 0.2
DILATIONS = (1, 2, 3)


def leaky(features: Tensor) -> Tensor:
    """Return LeakyReLU with slope 0.2."""
    return F.leaky_relu(features, SLOPE)


class SqueezeExcitation(nn.Module):
    """Scale each channel by sigmoid(W2 relu(W1 mean)), W1: C -> C/4, W2: C/4 -> C. [B, C, H, W] kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = GlobalMean()
        self.squeeze = nn.Conv2d(width, width // 4, 1)
        self.excite = nn.Conv2d(width // 4, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the scaled features."""
        return features * torch.sigmoid(self.excite(F.relu(self.squeeze(self.mean(features)))))


class MAEB(nn.Module):
    """Multi-scale aggregation and enhancement block: [B, inside, H, W] -> [B, width, H, W].

    The same two 3x3 kernels run at the dilations 1, 2 and 3; the three results are summed and their
    channels weighted.
    """

    def __init__(self, inside: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, width, 3)
        self.second = nn.Conv2d(width, width, 3)
        self.attention = SqueezeExcitation(width)

    def forward(self, features: Tensor) -> Tensor:
        """Return the aggregated features."""
        one, two, three = (self._branch(features, dilation) for dilation in DILATIONS)
        aggregated: Tensor = self.attention(one + two + three)
        return aggregated

    def _branch(self, features: Tensor, dilation: int) -> Tensor:
        for layer in (self.first, self.second):
            features = leaky(F.conv2d(features, layer.weight, layer.bias, padding=dilation, dilation=dilation))
        return features


class ConvGRU(nn.Module):
    """Convolutional GRU with 3x3 kernels; h' = (1 - z) h + z n, and h' = z n without a state.

    z = sigmoid(W_xz x + W_hz h), r = sigmoid(W_xr x + W_hr h), n = tanh(W_xn x + W_hn (r h)). `stateful`
    says whether a state will ever be given. The reset gate's input kernel stays in place without one.
    """

    def __init__(self, width: int, stateful: bool = True) -> None:
        super().__init__()
        # Kernels that read the same tensor form one convolution: (z, r, n) from x, (z, r) from h.
        self.from_input = nn.Conv2d(width, 3 * width, 3, padding=1)
        self.from_state = nn.Conv2d(width, 2 * width, 3, padding=1) if stateful else None
        self.from_reset = nn.Conv2d(width, width, 3, padding=1) if stateful else None

    def forward(self, features: Tensor, state: Tensor | None) -> Tensor:
        """features, state [B, C, H, W] -> the next state."""
        z, r, n = self.from_input(features).chunk(3, 1)
        if state is None or self.from_state is None or self.from_reset is None:
            return torch.sigmoid(z) * torch.tanh(n)
        z_state, r_state = self.from_state(state).chunk(2, 1)
        z, r = torch.sigmoid(z + z_state), torch.sigmoid(r + r_state)
        n = torch.tanh(n + self.from_reset(r * state))
        return (1 - z) * state + z * n

    @torch.no_grad()
    def initialise(self) -> None:
        """Xavier for each single kernel: fused ones would otherwise get too small a range."""
        for layer in (self.from_input, self.from_state, self.from_reset):
            if layer is None:
                continue
            for kernel in layer.weight.chunk(layer.out_channels // layer.in_channels):
                nn.init.xavier_uniform_(kernel)


class Responding(nn.Module):
    """relu(conv3x3(deep)) + skip, one step of the responding path; [B, C, H, W] kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """Return the input of the next GRU."""
        return F.relu(self.conv(deep)) + skip
