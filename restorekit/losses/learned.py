"""LPIPS as a loss."""

from __future__ import annotations

from torch import Tensor

from restorekit.backbones.lpips_network import build_lpips, check_size
from restorekit.backbones.pretrained import FrozenHolder
from restorekit.interface import LossInput
from restorekit.losses._inputs import clean_of


class LPIPSLoss(FrozenHolder):
    """LPIPS distance (Zhang et al. 2018) of output and clean image, mean over the batch.

    `net`: vgg (advised for training by its authors), alex or squeeze. `weights`: ``hub``, or a file. The
    network is frozen and in no checkpoint. Raises `WeightsError` when the weights cannot be had.
    """

    def __init__(self, net: str = "vgg", weights: str = "hub") -> None:
        super().__init__(build_lpips(net, weights))
        self.net = net

    def forward(self, seen: LossInput) -> Tensor:
        """Return the loss: one scalar, of the precision of its inputs."""
        clean = clean_of(seen, "lpips")
        check_size(clean, self.net)
        distance: Tensor = self.network(seen.output.image, clean, normalize=True)
        return distance.mean()
