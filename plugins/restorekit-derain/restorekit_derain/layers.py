"""Drops measured on real pairs: what they let through and what they add, ready to be laid over other photographs.

A drop on the glass shows the image D = s C + R, with the clean scene C behind it, the share s that it lets through and
the light R that it adds (the formation I = (1 - M) B + R of Qian et al., CVPR 2018, with s = 1 - M between 0 and 1).
For a pair both sides are known, and a regression of D on C in a small window gives s, and with it R, at each pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

_WINDOW = 4.0  # pixels, sigma of the window in which a drop's transparency is taken as constant
_STEADY = 0.003  # variance of the scene below which the regression leans on the difference instead
_FADE = (0.03, 0.09)  # difference, of 1, from which on a pixel begins to count as covered, and counts wholly
_NEAR = 8.0  # pixels, sigma of the blur that gives the light beside a drop that was cut out
_SCENE = 25.0  # pixels, sigma of the blur that gives the brightness of the scene around a drop


@dataclass(frozen=True)
class Layer:
    """One pair and the drops on it: `degraded`, `clean`, `added` and `scene` [3, H, W], `through` [1, H, W].

    All in [0, 1]. ``through * clean + added`` is the degraded image where there are drops, and the clean one elsewhere;
    `scene` is the clean image, widely blurred.
    """

    degraded: Tensor
    clean: Tensor
    through: Tensor
    added: Tensor
    scene: Tensor

    def planes(self) -> Iterator[Tensor]:
        """Yield the five planes in the order of the fields."""
        yield from (self.degraded, self.clean, self.through, self.added, self.scene)


@dataclass(frozen=True)
class Cutout:
    """Drops cut out of a photograph: `through` [1, H, W], 0 where a drop is, and `contrast` [3, H, W].

    `contrast` is how much brighter than its surroundings each pixel is, in [-1, 1].
    """

    through: Tensor
    contrast: Tensor

    def planes(self) -> Iterator[Tensor]:
        """Yield the two planes in the order of the fields."""
        yield from (self.through, self.contrast)


def blurred(image_CHW: Tensor, sigma: float) -> Tensor:
    """Return the image under a Gaussian of `sigma` pixels, with repeated borders."""
    size = 2 * int(3 * sigma) + 1
    return gaussian_blur2d(image_CHW[None], (size, size), (sigma, sigma), border_type="replicate")[0]


def measured(degraded_CHW: Tensor, clean_CHW: Tensor) -> Layer:
    """Measure the drops of an aligned pair, float images in [0, 1]."""
    degraded, clean = (image.mean(0, keepdim=True) for image in (degraded_CHW, clean_CHW))
    local = blurred(torch.cat((degraded, clean, degraded * clean, clean * clean)), _WINDOW)
    covariance = local[2:3] - local[0:1] * local[1:2]
    variance = local[3:4] - local[1:2].square()
    difference = blurred((degraded_CHW - clean_CHW).abs().amax(0, keepdim=True), 1.5)
    guess = 1 - (2.2 * difference).clamp(0, 0.9)
    slope = ((covariance + _STEADY * guess) / (variance + _STEADY)).clamp(0, 1)
    covered = ((difference - _FADE[0]) / (_FADE[1] - _FADE[0])).clamp(0, 1)
    covered = blurred(covered.square() * (3 - 2 * covered), 1.5)
    through = 1 - covered * (1 - slope)
    added = covered * (degraded_CHW - through * clean_CHW)
    return Layer(degraded_CHW, clean_CHW, through, added, blurred(clean_CHW, _SCENE))


def hazed(image_CHW: Tensor, share: float, light: float) -> Tensor:
    """Return what a wet pane leaves of an image: `share` of it gives way to an even light.

    That light is `light` times the image's mean colour; both numbers are in [0, 1], and so is the image.
    """
    return torch.lerp(image_CHW, light * image_CHW.mean((-2, -1), keepdim=True), share)


def laid_over(
    clean_CHW: Tensor, layer: Layer, strength: float, adapting: float, tint: Sequence[float] = (1.0, 1.0, 1.0)
) -> Tensor:
    """Lay the drops of `layer` over another scene of the same size; the result is in [0, 1].

    `strength`: 1 as measured, less for fainter drops. `adapting`: 0 leaves the light that the drops add as it was, 1
    makes it as much brighter or darker as the new scene is. `tint`: factors of that light's red, green and blue.
    """
    around = blurred(clean_CHW, 15.0).mean(0, keepdim=True)
    relative = (around + 0.05) / (layer.scene.mean(0, keepdim=True) + 0.05)
    light = layer.added * torch.as_tensor(tint).to(clean_CHW).view(3, 1, 1) * relative.clamp(0.4, 1.8) ** adapting
    return (clean_CHW * (1 - strength * (1 - layer.through)) + strength * light).clamp(0, 1)


def cut_out(degraded_CHW: Tensor, restored_CHW: Tensor, mask_1HW: Tensor) -> Cutout:
    """Cut the drops out of a photograph whose scene without them nobody knows, images in [0, 1].

    `mask_1HW` is 1 where a drop is; drops are taken as opaque, so that only sharp ones are for this. `restored_CHW`,
    the photograph as a network leaves it, tells how bright their surroundings are.
    """
    covered = blurred(F.max_pool2d(mask_1HW, 3, stride=1, padding=1), 1.0)
    return Cutout(1 - covered, degraded_CHW - blurred(restored_CHW, _NEAR))


def pasted(clean_CHW: Tensor, cutout: Cutout, strength: float, tint: Sequence[float] = (1.0, 1.0, 1.0)) -> Tensor:
    """Paste drops into another scene of the same size; the result is in [0, 1].

    They are as much brighter or darker than their new surroundings as they were than the old ones: what of the old
    scene lies in the mask's rim is then not seen. `strength`: 1 as they were, less for fainter drops. `tint`: factors
    of their contrast in red, green and blue.
    """
    shown = blurred(clean_CHW, _NEAR) + cutout.contrast * torch.as_tensor(tint).to(clean_CHW).view(3, 1, 1)
    return torch.lerp(clean_CHW, shown.clamp(0, 1), strength * (1 - cutout.through))
