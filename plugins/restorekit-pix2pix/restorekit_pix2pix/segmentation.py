"""Agreement of a pretrained segmentation network's results on restored and on clean images."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.segmentation import DeepLabV3_MobileNet_V3_Large_Weights, deeplabv3_mobilenet_v3_large

from restorekit.errors import RecipeError, WeightsError
from restorekit.pixels import unit
from restorekit_pix2pix import espnet

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MEASURES = ("miou", "accuracy")


@dataclass(frozen=True)
class Labels:
    """What a network's labels mean: how many there are, and which one, if any, stands for "nothing of these"."""

    count: int
    void: int | None = None


NETWORKS = {"espnet": Labels(len(espnet.CLASSES), espnet.VOID), "deeplabv3": Labels(21)}


class SegmentationAgreement(nn.Module):
    """restored, clean [B, 3, H, W] in [0, 1] -> agreement [B] float64 in [0, 1], 1 for equal label maps.

    The labels that the network gives to the clean image are the reference. `network`: ``espnet``, ESPNet with the 19
    classes of Cityscapes, whose weights are here (pixels where it sees none of them in the clean image are left out),
    or ``deeplabv3``, DeepLabv3 on MobileNetV3 with the 21 classes of Pascal VOC, which is downloaded. `measure`:
    ``miou``, the mean intersection over union of the classes that either image shows, or ``accuracy``, the share of
    pixels with equal labels. `weights_file`: other weights, or a local copy for machines without network.

    Raises `RecipeError` for an unknown measure or network; the first use raises `WeightsError` without weights.
    """

    higher_is_better = True
    unit = ""

    def __init__(self, *, measure: str = "miou", network: str = "espnet", weights_file: str = "") -> None:
        super().__init__()
        for name, given, allowed in (("measure", measure, MEASURES), ("network", network, tuple(NETWORKS))):
            if given not in allowed:
                raise RecipeError(f"{name} is {given!r}; use one of {', '.join(allowed)}")
        self.measure = measure
        self.name = network
        self.known = NETWORKS[network]
        self.weights_file = weights_file
        self._network: nn.Module | None = None

    @torch.no_grad()
    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """Return the agreement of each image."""
        found, expected = self.labels(restored), self.labels(clean)
        if self.measure == "miou":
            return label_miou(found, expected, self.known)
        return label_accuracy(found, expected, self.known.void)

    @torch.no_grad()
    def labels(self, image: Tensor) -> Tensor:
        """Return, of images [B, 3, H, W] in [0, 1], the most likely class of each pixel, [B, H, W] int64."""
        if self._network is None:
            self._network = load_network(self.name, self.weights_file)
        scores: Tensor = self._network.to(image.device)(image.float().clamp(0, 1))
        return scores.argmax(1)

    def seen(self, image: Tensor) -> Tensor:
        """Return, of images [B, 3, H, W] in [0, 1], the label maps in colours, [B, 3, H, W] in [0, 1]."""
        colours = espnet.COLOURS if self.name == "espnet" else voc_colours(self.known.count)
        palette = unit(torch.tensor(colours, device=image.device))
        return palette[self.labels(image)].movedim(-1, 1)


def label_accuracy(found: Tensor, expected: Tensor, void: int | None = None) -> Tensor:
    """Return the share of equal labels, [B, H, W] x 2 -> [B] float64; where `expected` is `void` nothing counts.

    Where nothing counts at all the share is 1.
    """
    counts = expected != void if void is not None else torch.ones_like(expected, dtype=torch.bool)
    equal = ((found == expected) & counts).sum((1, 2)).cpu().double()
    of = counts.sum((1, 2)).cpu().double()
    return torch.where(of > 0, equal / of.clamp(min=1), 1.0)


def label_miou(found: Tensor, expected: Tensor, known: Labels = NETWORKS["deeplabv3"]) -> Tensor:
    """Return the mean intersection over union of the classes present in either map, [B] float64.

    Where `expected` is void nothing counts; void elsewhere in `found` is a class that was missed. 1 where nothing
    counts at all.
    """
    pairs = (expected * known.count + found).flatten(1)
    counts = torch.stack([torch.bincount(row, minlength=known.count**2) for row in pairs])
    table = counts.view(-1, known.count, known.count).cpu().double()
    if known.void is not None:
        table[:, known.void] = 0
    both = table.diagonal(dim1=1, dim2=2)
    either = table.sum(1) + table.sum(2) - both
    if known.void is not None:
        either[:, known.void] = 0
    present = (either > 0).sum(1)
    return torch.where(present > 0, (both / either.clamp(min=1)).sum(1) / present.clamp(min=1), 1.0)


def voc_colours(count: int) -> list[tuple[int, ...]]:
    """Return the colours of Pascal VOC's label maps: the bits of the label, spread over the channels from the top."""
    return [
        tuple(sum((label >> (3 * level + channel) & 1) << (7 - level) for level in range(3)) for channel in range(3))
        for label in range(count)
    ]


class _DeepLab(nn.Module):
    """Images in [0, 1] -> scores, as `espnet.ESPNet` has it."""

    def __init__(self) -> None:
        super().__init__()
        self.network = deeplabv3_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=NETWORKS["deeplabv3"].count, aux_loss=True
        )

    def load_state_dict(self, state_dict: Mapping[str, object], *args: object, **settings: object) -> object:
        """Take torchvision's names."""
        return self.network.load_state_dict(state_dict, *args, **settings)

    def forward(self, image: Tensor) -> Tensor:
        mean, std = (torch.tensor(v, device=image.device).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        scores: Tensor = self.network((image - mean) / std)["out"]
        return scores


def load_network(name: str = "espnet", weights_file: str = "") -> nn.Module:
    """Return the pretrained network in eval mode.

    Raises `WeightsError` when the weights can neither be downloaded nor read, or are not those of the network.
    """
    network: nn.Module = espnet.ESPNet() if name == "espnet" else _DeepLab()
    wanted = "the authors' espnet_p_2_q_8.pth" if name == "espnet" else f"torchvision's {_file_name()}"
    if weights_file or name == "espnet":
        state = _from_file(Path(weights_file).expanduser() if weights_file else espnet.WEIGHTS, wanted)
    else:
        state = _from_hub()
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise WeightsError(
            f"{weights_file or 'the downloaded file'} does not hold the weights of {name} with"
            f" {NETWORKS[name].count} classes; give {wanted}"
        ) from error
    frozen: nn.Module = network.eval().requires_grad_(False)
    return frozen


def _file_name() -> str:
    return str(DeepLabV3_MobileNet_V3_Large_Weights.DEFAULT.url).rsplit("/", 1)[-1]


def _from_hub() -> dict[str, object]:
    weights = DeepLabV3_MobileNet_V3_Large_Weights.DEFAULT
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"the segmentation network's weights cannot be downloaded ({error}); fetch {weights.url} on a"
            " machine with network and give the file as the metric's setting weights_file, or take network=espnet,"
            " whose weights are here"
        ) from error


def _from_file(path: Path, wanted: str) -> dict[str, object]:
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError, TypeError, pickle.UnpicklingError, SafetensorError) as error:
        raise WeightsError(f"{path} cannot be read as weights ({error}); give {wanted}") from error
