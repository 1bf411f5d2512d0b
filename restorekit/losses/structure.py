"""Losses that compare neighbourhoods: structural similarity and edges."""

from __future__ import annotations

import torch.nn.functional as F
from kornia.filters import laplacian
from torch import Tensor, nn

from restorekit.errors import RecipeError
from restorekit.interface import LossInput
from restorekit.losses._inputs import clean_of
from restorekit.metrics.structural import ssim_map, window_weights
from restorekit.pixels import luma


class SSIMLoss(nn.Module):
    """1 - SSIM of output and clean image, values in [0, 1], mean over windows, channels and images.

    As `restorekit.metrics.quality.SSIM` ("rgb") without rounding to 8 bit, so that gradients pass.
    `window`: odd width of the Gaussian window (sigma 1.5); on an image that is smaller, the largest odd
    width that fits.
    """

    def __init__(self, window: int = 11) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise RecipeError(f"ssim: window is {window}; it must be odd and positive, such as 11")
        self.window = window

    def forward(self, seen: LossInput) -> Tensor:
        """Return the loss: one scalar, of the precision of its inputs."""
        image, clean = seen.output.image, clean_of(seen, "ssim")
        smallest = min(image.shape[-2:])
        size = min(self.window, smallest - (smallest + 1) % 2)
        return 1 - ssim_map(image, clean, window_weights("gaussian", size), data_range=1.0).mean()


def grey(image_BCHW: Tensor) -> Tensor:
    """Return BT.601 luma, [B, 1, H, W]."""
    red, green, blue = image_BCHW[:, 0:1], image_BCHW[:, 1:2], image_BCHW[:, 2:3]
    return luma(red, green, blue)


class Edge(nn.Module):
    """Mean squared difference of the edge maps of output and clean image (ReMAEN; Yang and Lu, ICME 2019).

    Edge map: ReLU of the 3x3 Laplacian (centre 8, neighbours -1) of the grey image, border pixels repeated
    outwards. `signed`: keep the negative half of the Laplacian too.
    """

    def __init__(self, signed: bool = False) -> None:
        super().__init__()
        self.signed = signed

    def edges(self, image_BCHW: Tensor) -> Tensor:
        """Return the edge map, [B, 1, H, W]."""
        response = -laplacian(grey(image_BCHW), 3, "replicate", normalized=False)  # kornia's centre is negative
        return response if self.signed else response.relu()

    def forward(self, seen: LossInput) -> Tensor:
        """Return the loss: one scalar, of the precision of its inputs."""
        return F.mse_loss(self.edges(seen.output.image), self.edges(clean_of(seen, "edge")))
