"""Agreement of a pretrained segmentation network's results on restored and on clean images."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.segmentation import DeepLabV3_MobileNet_V3_Large_Weights, deeplabv3_mobilenet_v3_large

from restorekit.errors import RecipeError, WeightsError

CLASSES = 21
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
MEASURES = ("miou", "accuracy")


class SegmentationAgreement(nn.Module):
    """restored, clean [B, 3, H, W] in [0, 1] -> agreement [B] float64 in [0, 1], 1 for equal label maps.

    The network is DeepLabv3 on MobileNetV3 with the 21 classes of Pascal VOC; its labels on the clean
    image are the reference. `measure`: ``miou``, the mean intersection over union of the classes that
    either image shows, or ``accuracy``, the share of pixels with equal labels. `weights_file`: a local
    copy of the weights, for machines without network.

    Raises `RecipeError` for an unknown measure; the first use raises `WeightsError` without weights.
    """

    higher_is_better = True
    unit = ""

    def __init__(self, *, measure: str = "miou", weights_file: str = "") -> None:
        super().__init__()
        if measure not in MEASURES:
            raise RecipeError(f"measure is {measure!r}; use one of {', '.join(MEASURES)}")
        self.measure = measure
        self.weights_file = weights_file
        self._network: nn.Module | None = None

    @torch.no_grad()
    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """Return the agreement of each image."""
        found, expected = self.labels(restored), self.labels(clean)
        return label_miou(found, expected) if self.measure == "miou" else label_accuracy(found, expected)

    def labels(self, image: Tensor) -> Tensor:
        """image [B, 3, H, W] in [0, 1] -> the most likely class of each pixel, [B, H, W] int64."""
        if self._network is None:
            self._network = load_network(self.weights_file)
        network = self._network.to(image.device)
        mean, std = (torch.tensor(v, device=image.device).view(1, 3, 1, 1) for v in (MEAN, STD))
        scores: Tensor = network((image.float().clamp(0, 1) - mean) / std)["out"]
        return scores.argmax(1)


def label_accuracy(found: Tensor, expected: Tensor) -> Tensor:
    """Return the share of equal labels, [B, H, W] x 2 -> [B] float64."""
    return (found == expected).cpu().double().mean((1, 2))


def label_miou(found: Tensor, expected: Tensor, classes: int = CLASSES) -> Tensor:
    """Return the mean intersection over union of the classes present in either map, [B] float64."""
    pairs = (expected * classes + found).flatten(1)
    counts = torch.stack([torch.bincount(row, minlength=classes**2) for row in pairs])
    table = counts.view(-1, classes, classes).cpu().double()
    both = table.diagonal(dim1=1, dim2=2)
    either = table.sum(1) + table.sum(2) - both
    present = either > 0
    return (both / either.clamp(min=1)).sum(1) / present.sum(1)


def load_network(weights_file: str = "") -> nn.Module:
    """Return the pretrained network in eval mode.

    Raises `WeightsError` when the weights can neither be downloaded nor read.
    """
    network = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True)
    state = _from_file(Path(weights_file)) if weights_file else _from_hub()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(
            f"{weights_file or 'the downloaded file'} does not hold the weights of DeepLabv3 on MobileNetV3"
            f" with {CLASSES} classes; give torchvision's {_file_name()}"
        ) from error
    frozen: nn.Module = network.eval().requires_grad_(False)
    return frozen


def _file_name() -> str:
    return str(DeepLabV3_MobileNet_V3_Large_Weights.DEFAULT.url).rsplit("/", 1)[-1]


def _from_hub() -> dict[str, Any]:
    weights = DeepLabV3_MobileNet_V3_Large_Weights.DEFAULT
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"the segmentation network's weights cannot be downloaded ({error}); fetch {weights.url} on a"
            " machine with network and give the file as the metric's setting weights_file"
        ) from error


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError, TypeError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path} cannot be read as weights ({error}); give torchvision's {_file_name()}") from error
