"""A U-Net (Ronneberger et al. 2015) over any convolutional encoder of timm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from restorekit.errors import RecipeError, UnknownNameError, WeightsError, closest
from restorekit.interface import SizeRule

_WIDEST = 256


def _load_error(encoder: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"the pretrained weights of the encoder {encoder!r} could not be had ({type(error).__name__}:"
        f" {error})."
        " Without network, fetch timm's file elsewhere and give its path as the setting weights=FILE,"
        " or train from scratch with pretrained=false"
    )


def _check(encoder: str, pretrained: bool, weights: str) -> None:
    if not timm.is_model(encoder.split(".")[0]):
        raise UnknownNameError(
            f"timm {timm.__version__} has no encoder {encoder!r}.{closest(encoder, timm.list_models())}"
            " `timm.list_models()` lists them all"
        )
    if pretrained and not weights and not timm.models.is_model_pretrained(encoder):
        raise WeightsError(
            f"timm has no pretrained weights for the encoder {encoder!r}; use pretrained=false or weights=FILE"
        )
    if weights and not Path(weights).expanduser().is_file():
        raise WeightsError(f"there is no file {weights} with weights of the encoder {encoder!r}")


def build_encoder(encoder: str, pretrained: bool = False, weights: str = "") -> Any:
    """Return timm's feature extractor: image -> feature maps [B, C_i, H / r_i, W / r_i], fine to coarse.

    Raises `UnknownNameError` (no such encoder), `RecipeError` (it gives no feature maps), `WeightsError`.
    """
    _check(encoder, pretrained, weights)
    overlay = {"file": str(Path(weights).expanduser())} if weights else None
    wants = pretrained or bool(weights)
    try:
        network = timm.create_model(encoder, pretrained=wants, features_only=True, pretrained_cfg_overlay=overlay)
    except Exception as error:  # hub, file and network each raise their own errors, all told to the user
        if wants:
            raise _load_error(encoder, error) from error
        raise _no_maps(encoder, str(error)) from error
    _probe(network, encoder)
    if not wants:
        _open_branches(network)
    return network


@torch.no_grad()
def _open_branches(network: nn.Module) -> None:
    """Set norm weights that timm starts at zero (residual branches) to one: all layers learn at once."""
    for name, parameter in network.named_parameters():
        if name.endswith("weight") and parameter.ndim == 1 and not parameter.any():
            parameter.fill_(1)


def _no_maps(encoder: str, reason: str) -> RecipeError:
    return RecipeError(
        f"the encoder {encoder!r} does not give feature maps for images of any size ({reason});"
        " use a convolutional one, such as resnet18, efficientnet_b0 or convnext_atto"
    )


@torch.no_grad()
def _probe(network: Any, encoder: str) -> None:
    """Refuse encoders whose features are not [B, C, H / r, W / r]: some transformers fix the image size."""
    height, width = (2 * max(network.feature_info.reduction()), 3 * max(network.feature_info.reduction()))
    network.eval()
    try:
        shapes = [tuple(feature.shape) for feature in network(torch.zeros(1, 3, height, width))]
    except (AssertionError, RuntimeError, ValueError) as error:
        raise _no_maps(encoder, str(error)) from error
    network.train()
    scales = zip(network.feature_info.channels(), network.feature_info.reduction(), strict=True)
    expected = [(1, channels, height // r, width // r) for channels, r in scales]
    if shapes != expected:
        raise _no_maps(encoder, f"shapes {shapes} instead of {expected}")


def _statistics(encoder: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation per channel that the encoder's weights were trained with."""
    known = timm.models.get_pretrained_cfg(encoder)
    return (known.mean, known.std) if known else (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)


class _Up(nn.Module):
    """Nearest upsampling to the skip's size, concatenation, two 3x3 convolutions with LeakyReLU 0.2."""

    def __init__(self, channels: int, skip: int, out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels + skip, out, 3, padding=1)
        self.second = nn.Conv2d(out, out, 3, padding=1)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        raised = F.interpolate(coarse, size=skip.shape[-2:], mode="nearest")
        hidden = F.leaky_relu(self.first(torch.cat((raised, skip), dim=1)), 0.2)
        return F.leaky_relu(self.second(hidden), 0.2)


class UNet(nn.Module):
    """U-Net that adds a residual to its input: [B, 3, H, W] in [0, 1] -> the same shape, not clipped.

    `encoder`: any timm network that gives feature maps (``timm.list_models()``); `width`: channels of the
    decoder at full size, doubled per level up to 256; `pretrained`: start from timm's weights; `weights`:
    a file with these weights, for machines without network. The input itself is the finest skip. The
    decoder has no norm; the encoder keeps its own (batch norm in resnet18). Height and width: multiples
    of the encoder's reduction, at least twice that (a single pixel has no batch statistics).

    Raises `UnknownNameError`, `RecipeError`, `WeightsError` (no silent random substitute).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: str = "resnet18", width: int = 32, pretrained: bool = False, weights: str = "") -> None:
        super().__init__()
        if width < 1:
            raise RecipeError(f"unet: width is {width}; it must be at least 1")
        self.encoder = build_encoder(encoder, pretrained, weights)
        reduction = max(self.encoder.feature_info.reduction())
        self.size_rule = SizeRule(multiple=reduction, minimum=2 * reduction)
        channels = [3, *self.encoder.feature_info.channels()]
        outs = [min(width * 2**level, max(width, _WIDEST)) for level in range(len(channels) - 1)]
        below = [*outs[1:], channels[-1]]
        self.ups = nn.ModuleList(
            _Up(below[level], channels[level], outs[level]) for level in reversed(range(len(outs)))
        )
        self.last = nn.Conv2d(outs[0], 3, 3, padding=1)
        for name, statistic in zip(("mean", "std"), _statistics(encoder), strict=True):
            value = torch.tensor(statistic).view(1, 3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def forward(self, degraded: Tensor) -> Tensor:
        """Return the degraded image [B, 3, H, W] with the network's residual added."""
        skips = [degraded, *self.encoder((degraded - self.mean) / self.std)]
        hidden = skips.pop()
        for up in self.ups:
            hidden = up(hidden, skips.pop())
        residual: Tensor = self.last(hidden)
        return degraded + residual
