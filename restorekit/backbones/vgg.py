"""Activations of VGG16."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from restorekit.backbones.pretrained import feature_state, load_features
from restorekit.errors import RecipeError, closest

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CONVOLUTIONS_PER_BLOCK = (2, 2, 3, 3, 3)


def _relu_positions() -> dict[str, int]:
    """Return where relu1_1 ... relu5_3 stand in torchvision's sequence: (conv, relu) pairs, then a pool."""
    positions, at = {}, 0
    for block, count in enumerate(_CONVOLUTIONS_PER_BLOCK, start=1):
        for layer in range(1, count + 1):
            positions[f"relu{block}_{layer}"] = at + 1
            at += 2
        at += 1
    return positions


RELU_POSITIONS = _relu_positions()


class VGG16Features(nn.Module):
    """Activations of VGG16 (Simonyan and Zisserman 2015) at named ReLUs; images in [0, 1], any size from 1.

    `layers`: names such as ``relu1_2``. `weights`: ``hub`` or a file, see `feature_state`. Deep layers of
    images that pooling would shrink below one pixel are computed on the image padded by repetition.
    Raises `RecipeError` for an unknown layer, `WeightsError` without weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, layers: Sequence[str], weights: str = "hub") -> None:
        super().__init__()
        unknown = [layer for layer in layers if layer not in RELU_POSITIONS]
        if unknown or not layers:
            raise RecipeError(
                f"VGG16 has no layer {unknown[0]!r}.{closest(unknown[0], RELU_POSITIONS)} "
                f"It has: {', '.join(RELU_POSITIONS)}."
                if unknown
                else "perceptual: layers is empty; name at least one, such as 'relu2_2'"
            )
        self.positions = sorted(RELU_POSITIONS[layer] for layer in layers)
        self.reduction = 2 ** max(int(layer[4]) - 1 for layer in layers)
        state = feature_state("vgg16", weights)
        with torch.random.fork_rng(devices=[]):  # the initial values are overwritten: spend no random numbers
            whole = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
        self.trunk = nn.Sequential(*list(whole)[: self.positions[-1] + 1])
        load_features(self.trunk, state, "vgg16", weights)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, image_BCHW: Tensor) -> list[Tensor]:
        """Return the chosen layers' features of an image [B, 3, H, W] in [0, 1], in their order."""
        lacking = [max(self.reduction - size, 0) for size in image_BCHW.shape[-2:]]
        hidden = (F.pad(image_BCHW, (0, lacking[1], 0, lacking[0]), mode="replicate") - self.mean) / self.std
        taken = []
        for position, layer in enumerate(self.trunk):
            hidden = layer(hidden)
            if position in self.positions:
                taken.append(hidden)
        return taken
