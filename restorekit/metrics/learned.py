"""LPIPS (Zhang et al., CVPR 2018), through the ``lpips`` package and torchvision's weights."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import torch
from torch import Tensor

from restorekit.errors import ImageError, RecipeError, closest
from restorekit.losses.backbones import FrozenHolder, feature_state, load_features
from restorekit.metrics.protocols import levels

_BACKBONES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
MINIMUM = {"alex": 31, "vgg": 16, "squeeze": 17}  # pixels; below, a pooling layer has no input left


def _load_trunk(trunk: Any, name: str, weights: str) -> None:
    state = feature_state(name, weights)
    for part in range(trunk.N_slices):  # the slices keep torchvision's layer numbers as names
        load_features(getattr(trunk, f"slice{part + 1}"), state, name, weights)


def build_lpips(net: str = "alex", weights: str = "hub") -> Any:
    """Return the frozen LPIPS network, version 0.1, with its calibrated linear layers.

    `net`: alex (default of the metric's authors), vgg or squeeze. `weights`: ``hub``, or a file with the
    state dict of torchvision's network. Raises `RecipeError` (unknown net) or `WeightsError`.
    """
    if net not in _BACKBONES:
        raise RecipeError(
            f"lpips: net {net!r} is unknown; use one of {', '.join(_BACKBONES)}.{closest(net, _BACKBONES)}"
        )
    import lpips

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it calls torchvision by a deprecated argument
        network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    _load_trunk(network.net, _BACKBONES[net], weights)
    return network.requires_grad_(False).eval()


def check_size(image_BCHW: Tensor, net: str) -> None:
    """Raise `ImageError` when an image is too small for the network."""
    height, width = image_BCHW.shape[-2:]
    if min(height, width) < MINIMUM[net]:
        raise ImageError(
            f"LPIPS ({net}) needs images of at least {MINIMUM[net]}x{MINIMUM[net]} pixels, and got {height}x{width}"
        )


class LPIPS(FrozenHolder):
    """Learned perceptual distance, 0 for equal images, per image; the restored image is rounded to 8 bit.

    ``LPIPS()(restored, clean)``: two images [B, 3, H, W] in [0, 1] -> [B] float64, computed in float32 on
    the device of the images. `net`, `weights`: see `build_lpips`. Raises `WeightsError` when the weights
    cannot be had.
    """

    higher_is_better: ClassVar[bool] = False
    unit: ClassVar[str] = ""
    network: Any

    def __init__(self, net: str = "alex", weights: str = "hub") -> None:
        super().__init__(build_lpips(net, weights))
        self.net = net

    @torch.no_grad()
    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        if restored.shape != clean.shape:
            raise ImageError(f"cannot compare images of shapes {tuple(restored.shape)} and {tuple(clean.shape)}")
        check_size(clean, self.net)
        self.to(device=clean.device)
        first, second = (levels(image).float().to(clean.device) / 255 for image in (restored, clean))
        distance: Tensor = self.network(first, second, normalize=True)
        return distance.flatten().cpu().double()
