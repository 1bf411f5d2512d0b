"""LPIPS as a metric."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from restorekit.backbones.lpips_network import build_lpips, check_size
from restorekit.backbones.pretrained import FrozenHolder
from restorekit.errors import ImageError
from restorekit.metrics.protocols import levels
from restorekit.pixels import unit


class LPIPS(FrozenHolder):
    """Learned perceptual distance, 0 for equal images, per image; the restored image is rounded to 8 bit.

    ``LPIPS()(restored, clean)``: two images [B, 3, H, W] in [0, 1] -> [B] float64, computed in float32 on
    the device of the images. `net`, `weights`: see `build_lpips`. Raises `WeightsError` when the weights
    cannot be had.
    """

    higher_is_better: ClassVar[bool] = False
    unit: ClassVar[str] = ""

    def __init__(self, net: str = "alex", weights: str = "hub") -> None:
        super().__init__(build_lpips(net, weights))
        self.net = net

    @torch.no_grad()
    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """Return the distance of each image, [B] float64 on the CPU; 0 is equal.

        Raises `ImageError` when shapes differ or images are too small.
        """
        if restored.shape != clean.shape:
            raise ImageError(f"cannot compare images of shapes {tuple(restored.shape)} and {tuple(clean.shape)}")
        check_size(clean, self.net)
        self.to(device=clean.device)
        first, second = (unit(levels(image)).to(clean.device) for image in (restored, clean))
        distance: Tensor = self.network(first, second, normalize=True)
        return distance.flatten().cpu().double()
