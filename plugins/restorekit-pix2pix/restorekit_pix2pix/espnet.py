"""ESPNet (Mehta et al., ECCV 2018): a small segmentation network, with its authors' Cityscapes weights.

The encoder is built of ESP units: a 1x1 convolution reduces the channels to a fifth, five 3x3 convolutions with
dilations 1, 2, 4, 8 and 16 look at the result, and the sums of these from the second on are put side by side
(hierarchical feature fusion, section 3). The image itself, made smaller, is put beside the features of each level.
Names of modules are those of the released file, so that it loads as it is.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
    "void",
)
VOID = len(CLASSES) - 1
# The colours of Cityscapes' own pictures of label maps; void is black.
COLOURS = (
    (128, 64, 128),
    (244, 35, 232),
    (70, 70, 70),
    (102, 102, 156),
    (190, 153, 153),
    (153, 153, 153),
    (250, 170, 30),
    (220, 220, 0),
    (107, 142, 35),
    (152, 251, 152),
    (70, 130, 180),
    (220, 20, 60),
    (255, 0, 0),
    (0, 0, 142),
    (0, 0, 70),
    (0, 60, 100),
    (0, 80, 100),
    (0, 0, 230),
    (119, 11, 32),
    (0, 0, 0),
)
# Of Cityscapes' training pictures, blue, green, red, in levels 0..255; the quotient is divided by 255 once more, as
# the released weights expect: only so have the first convolution's results the variance that its batch norm learned.
MEAN_BGR = (72.3923111, 82.90893555, 73.15840149)
STD_BGR = (45.3192215, 46.15289307, 44.91483307)
WEIGHTS = Path(__file__).parent / "segmentation_weights" / "espnet_p_2_q_8.safetensors"

_DILATIONS = (1, 2, 4, 8, 16)
_EPS = 1e-3
MULTIPLE = 8  # three halvings


class _Conv(nn.Module):
    """A convolution without bias that keeps the size, or halves it."""

    def __init__(self, ins: int, outs: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        padding = kernel // 2 * dilation
        self.conv = nn.Conv2d(ins, outs, kernel, stride, padding, dilation, bias=False)

    def forward(self, hidden_BCHW: Tensor) -> Tensor:
        result: Tensor = self.conv(hidden_BCHW)
        return result


class _Norm(nn.Module):
    """Batch norm and PReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, _EPS)
        self.act = nn.PReLU(channels)

    def forward(self, hidden_BCHW: Tensor) -> Tensor:
        result: Tensor = self.act(self.bn(hidden_BCHW))
        return result


class _ConvNorm(_Norm):
    """Convolution, batch norm and PReLU."""

    def __init__(self, ins: int, outs: int, stride: int = 1) -> None:
        super().__init__(outs)
        self.conv = nn.Conv2d(ins, outs, 3, stride, 1, bias=False)

    def forward(self, hidden_BCHW: Tensor) -> Tensor:
        return super().forward(self.conv(hidden_BCHW))


class _Pyramid(nn.Module):
    """Reduce, look at five dilations, sum up and put side by side: `outs` channels without batch norm."""

    def __init__(self, ins: int, outs: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = outs // len(_DILATIONS)
        self.c1 = _Conv(ins, width, kernel, stride)
        for dilation in _DILATIONS:
            # the first takes what the division leaves over
            own = outs - width * (len(_DILATIONS) - 1) if dilation == 1 else width
            self.add_module(f"d{dilation}", _Conv(width, own, 3, dilation=dilation))

    def forward(self, hidden_BCHW: Tensor) -> Tensor:
        reduced = self.c1(hidden_BCHW)
        first, *wide = (self.get_submodule(f"d{dilation}")(reduced) for dilation in _DILATIONS)
        return torch.cat([first, *itertools.accumulate(wide)], 1)


class _Down(_Pyramid):
    """An ESP unit that halves the size."""

    def __init__(self, ins: int, outs: int) -> None:
        super().__init__(ins, outs, kernel=3, stride=2)
        self.bn = nn.BatchNorm2d(outs, _EPS)
        self.act = nn.PReLU(outs)

    def forward(self, hidden_BCHW: Tensor) -> Tensor:
        result: Tensor = self.act(self.bn(super().forward(hidden_BCHW)))
        return result


class _ESP(_Pyramid):
    """An ESP unit; it adds its input where the channels allow."""

    def __init__(self, ins: int, outs: int) -> None:
        super().__init__(ins, outs, kernel=1, stride=1)
        self.bn = _Norm(outs)
        self.residual = ins == outs

    def forward(self, hidden_BCHW: Tensor) -> Tensor:
        found = super().forward(hidden_BCHW)
        result: Tensor = self.bn(found + hidden_BCHW if self.residual else found)
        return result


class _Encoder(nn.Module):
    """The three levels: half, a quarter and an eighth of the size."""

    def __init__(self, classes: int, p: int, q: int) -> None:
        super().__init__()
        self.level1 = _ConvNorm(3, 16, stride=2)
        self.b1 = _Norm(16 + 3)
        self.level2_0 = _Down(16 + 3, 64)
        self.level2 = nn.Sequential(*(_ESP(64, 64) for _ in range(p)))
        self.b2 = _Norm(2 * 64 + 3)
        self.level3_0 = _Down(2 * 64 + 3, 128)
        self.level3 = nn.Sequential(*(_ESP(128, 128) for _ in range(q)))
        self.b3 = _Norm(2 * 128)
        self.classifier = _Conv(2 * 128, classes, 1)

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half = F.avg_pool2d(image_BCHW, 3, 2, 1)
        first = self.level1(image_BCHW)
        start = self.level2_0(self.b1(torch.cat([first, half], 1)))
        second = self.b2(torch.cat([self.level2(start), start, F.avg_pool2d(half, 3, 2, 1)], 1))
        start = self.level3_0(second)
        third = self.b3(torch.cat([start, self.level3(start)], 1))
        return first, second, self.classifier(third)


class ESPNet(nn.Module):
    """Image [B, 3, H, W], RGB in [0, 1], any size -> scores of the 20 classes [B, 20, H, W].

    The decoder joins the levels from the smallest up, in the space of the classes (figure 4). Sides that are no
    multiple of 8 are padded by repetition, and the scores cut back. `p`, `q`: units of the second and third level.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, classes: int = len(CLASSES), p: int = 2, q: int = 8) -> None:
        super().__init__()
        self.encoder = _Encoder(classes, p, q)
        self.br = nn.BatchNorm2d(classes, _EPS)
        self.up_l3 = nn.Sequential(_up(classes))
        self.level3_C = _Conv(2 * 64 + 3, classes, 1)
        self.combine_l2_l3 = nn.Sequential(_Norm(2 * classes), _ESP(2 * classes, classes))
        self.up_l2 = nn.Sequential(_up(classes), _Norm(classes))
        self.conv = _ConvNorm(classes + 16, classes)
        self.classifier = _up(classes)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN_BGR, STD_BGR))
        self.register_buffer("scale", 1 / std, persistent=False)
        self.register_buffer("shift", -mean / std / 255, persistent=False)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Return the score of each class for each pixel: [B, 3, H, W] in [0, 1] -> [B, classes, H, W]."""
        height, width = image_BCHW.shape[-2:]
        padding = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        padded = F.pad(image_BCHW.flip(1), padding, mode="replicate")
        first, second, third = self.encoder(padded * self.scale + self.shift)
        small = self.up_l3(self.br(third))
        middle = self.up_l2(self.combine_l2_l3(torch.cat([self.level3_C(second), small], 1)))
        scores: Tensor = self.classifier(self.conv(torch.cat([middle, first], 1)))
        return scores[..., :height, :width]


def _up(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 2, 2, bias=False)
