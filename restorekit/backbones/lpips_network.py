"""The network of LPIPS (Zhang et al., CVPR 2018), from the ``lpips`` package with torchvision's weights."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from restorekit.backbones.pretrained import feature_state, load_features
from restorekit.errors import ImageError, RecipeError, closest

_BACKBONES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
MINIMUM = {"alex": 31, "vgg": 16, "squeeze": 17}  # pixels; below, a pooling layer has no input left


def _load_trunk(trunk: Any, name: str, weights: str) -> None:
    state = feature_state(name, weights)
    for part in range(trunk.N_slices):  # the slices keep torchvision's layer numbers as names
        load_features(getattr(trunk, f"slice{part + 1}"), state, name, weights)


def build_lpips(net: str = "alex", weights: str = "hub") -> nn.Module:
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
        network: nn.Module = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    _load_trunk(network.net, _BACKBONES[net], weights)
    return network.requires_grad_(False).eval()


def check_size(image_BCHW: Tensor, net: str) -> None:
    """Raise `ImageError` when an image is too small for the network."""
    height, width = image_BCHW.shape[-2:]
    if min(height, width) < MINIMUM[net]:
        raise ImageError(
            f"LPIPS ({net}) needs images of at least {MINIMUM[net]}x{MINIMUM[net]} pixels, and got {height}x{width}"
        )
