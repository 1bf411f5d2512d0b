"""Losses in the feature space of pretrained networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.backbones.pretrained import FrozenHolder
from restorekit.backbones.vgg import VGG16Features
from restorekit.interface import LossInput
from restorekit.losses._inputs import clean_of


class Perceptual(FrozenHolder):
    """MSE of VGG16 activations of output and clean image, mean over the layers (Johnson et al. 2016).

    `layers`: default as AttentiveGAN (Qian et al. 2018). `weights`: ``hub``, or a file with torchvision's
    VGG16 state dict. The network is frozen, in no checkpoint and never in train mode. Raises
    `WeightsError` when the weights cannot be had.
    """

    network: VGG16Features

    def __init__(
        self,
        layers: Sequence[str] = ("relu1_1", "relu1_2", "relu2_1", "relu2_2"),
        weights: str = "hub",
    ) -> None:
        super().__init__(VGG16Features(layers, weights))

    def forward(self, seen: LossInput) -> Tensor:
        """Return the loss: one scalar, of the precision of its inputs."""
        with torch.no_grad():
            wanted = self.network(clean_of(seen, "perceptual"))
        terms = [F.mse_loss(a, b) for a, b in zip(self.network(seen.output.image), wanted, strict=True)]
        return torch.stack(terms).mean()
