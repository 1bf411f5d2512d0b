"""Channel and spatial attention behind an encoder convolution; all keep [B, C, H, W]."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers import GlobalMean

ATTENTION = ("none", "channel", "spatial", "both")


class ChannelAttention(nn.Module):
    """Scale each channel by sigmoid(W2 relu(W1 mean)), W1: C -> C/2, W2: C/2 -> C."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = GlobalMean()
        self.squeeze = nn.Linear(width, width // 2)
        self.excite = nn.Linear(width // 2, width)

    def forward(self, features: Tensor) -> Tensor:
        """Return the scaled features."""
        scale = torch.sigmoid(self.excite(F.relu(self.squeeze(self.mean(features).flatten(1)))))
        return features * scale[:, :, None, None]


class SpatialAttention(nn.Module):
    """Scale each position by the sigmoid of a 1x1 convolution to one channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(width, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the scaled features."""
        return features * torch.sigmoid(self.score(features))


class ChannelAndSpatialAttention(nn.Module):
    """The sum of channel attention and spatial attention of the same features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channel = ChannelAttention(width)
        self.spatial = SpatialAttention(width)

    def forward(self, features: Tensor) -> Tensor:
        """Return the sum."""
        attended: Tensor = self.channel(features) + self.spatial(features)
        return attended


def build_attention(kind: str, width: int) -> nn.Module:
    """Return the attention called `kind`, one of `ATTENTION`, for `width` channels."""
    kinds = {
        "none": lambda _: nn.Identity(),
        "channel": ChannelAttention,
        "spatial": SpatialAttention,
        "both": ChannelAndSpatialAttention,
    }
    return kinds[kind](width)
