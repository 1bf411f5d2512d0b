"""The attentive-recurrent network: a map of the drops, refined over time steps (section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FIRST_ATTENTION = 0.5
RESIDUAL_BLOCKS = 5


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a ReLU behind both, the sum with the input, ReLU: [B, C, H, W] kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the refined features, not negative."""
        inner = F.relu(self.first(features), inplace=True)
        return F.relu(F.relu(self.second(inner), inplace=True) + features, inplace=True)


class ConvLSTMCell(nn.Module):
    """A convolutional LSTM with 3x3 kernels; gates in the order input, forget, candidate, output.

    With `peephole`, the cell state enters the gates by one learned factor per channel, as in the
    paper's equation 5; the authors' released code has no such term.
    """

    def __init__(self, width: int, peephole: bool = False) -> None:
        super().__init__()
        self.width = width
        # One convolution for all four gates reads the features and the hidden state only once.
        self.gates = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.peephole = nn.Parameter(torch.zeros(3, width, 1, 1)) if peephole else None

    def forward(self, features: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """From features [B, C, H, W] and state (hidden, cell) or None for zeros -> the next (hidden, cell)."""
        if state is None:
            # A hidden state of zeros adds nothing: half of the convolution is left out.
            weight = self.gates.weight[:, : self.width]
            gates = F.conv2d(features, weight, self.gates.bias, padding=1)
            cell = torch.zeros_like(features)
        else:
            hidden, cell = state
            gates = self.gates(torch.cat((features, hidden), 1))
        into, forget, candidate, out = _dense_quarters(gates)
        if self.peephole is not None:
            into = into + self.peephole[0] * cell
            forget = forget + self.peephole[1] * cell
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(into) * torch.tanh(candidate)
        if self.peephole is not None:
            out = out + self.peephole[2] * cell
        return torch.sigmoid(out) * torch.tanh(cell), cell


def _dense_quarters(gates: Tensor) -> list[Tensor]:
    """Cut [B, 4 C, H, W] into four [B, C, H, W] without gaps: on gaps a CPU takes sigmoids one by one."""
    last = gates.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    return [quarter.contiguous(memory_format=layout) for quarter in gates.chunk(4, 1)]


class AttentiveRecurrentNetwork(nn.Module):
    """image [B, 3, H, W] in [0, 1] -> `time_steps` attention maps [B, 1, H, W]; weights are shared.

    Every step reads the image and the previous map; the first map is 0.5 everywhere.
    """

    def __init__(self, width: int = 32, time_steps: int = 4, peephole: bool = False) -> None:
        super().__init__()
        self.time_steps = time_steps
        self.stem = nn.Conv2d(4, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(RESIDUAL_BLOCKS)))
        self.lstm = ConvLSTMCell(width, peephole)
        self.to_map = nn.Conv2d(width, 1, 3, padding=1)

    def residual_layers(self) -> tuple[nn.Conv2d, ...]:
        """Return the last convolution of every residual block, for the initialisation."""
        return tuple(block.second for block in self.blocks if isinstance(block, ResidualBlock))

    def linear_layers(self) -> tuple[nn.Conv2d, ...]:
        """Return the layers that no ReLU follows, for the initialisation."""
        return (self.lstm.gates, self.to_map)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the maps in the order of the steps, the last one being the best."""
        # The image's share of the first convolution is the same in every step.
        from_image = F.conv2d(image, self.stem.weight[:, :3], self.stem.bias, padding=1)
        attention = torch.full_like(image[:, :1], FIRST_ATTENTION)
        maps: list[Tensor] = []
        state: tuple[Tensor, Tensor] | None = None
        for _ in range(self.time_steps):
            from_map = F.conv2d(attention, self.stem.weight[:, 3:], padding=1)
            state = self.lstm(self.blocks(F.relu(from_image + from_map, inplace=True)), state)
            attention = self.to_map(state[0])
            maps.append(attention)
        return tuple(maps)
