"""Layers for plugins."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class GlobalMean(nn.Module):
    """The mean of each channel over the image: [B, C, H, W] -> [B, C, 1, 1].

    For whatever looks at the whole image, such as squeeze-and-excitation. An image that is restored in tiles has the
    mean of the whole image at this layer, and not that of each tile, as with ``features.mean((2, 3))``.
    """

    source: Callable[[Tensor], Tensor] | None = None  # what stands in for the mean while tiles are run

    def forward(self, features: Tensor) -> Tensor:
        """Return the means."""
        return features.mean((2, 3), keepdim=True) if self.source is None else self.source(features)
