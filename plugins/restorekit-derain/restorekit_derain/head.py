"""What becomes of an image once a network has looked at it: the gated change, how far to trust it, and averages."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from torch import Tensor

from restorekit.interface import Output

_LEAST_MASK = 1e-6  # and 1 less than that the most, so that the logits of an averaged mask are finite
_USUAL = 0.2  # share of a picture that the mask covers, from which on nothing speaks against rain
_SHARES = (0.005, 0.6)  # what is believed of a picture's own share
_TRUST = 0.6  # of the difference of both in log odds
_MOST = 0.25  # by which logits may rise
_LEAST_WEIGHT = 1e-3  # of a pixel that is hidden: where all are, their mean is better than nothing


def filled(image: Tensor, mask: Tensor, levels: int) -> Tensor:
    """Fill what the mask hides from its surroundings, smoothly: push and pull (Gortler et al., SIGGRAPH 1996, 4.3).

    image [B, 3, H, W], mask [B, 1, H, W] in [0, 1], height and width multiples of 2 ** levels -> like image. What is
    masked by half or more is not looked at. Averages over 2, 4, ... 2 ** levels pixels fill the holes, the finer ones
    where they saw enough.
    """
    weight = (1 - 2 * mask).clamp(min=_LEAST_WEIGHT)
    seen = [(image * weight, weight)]
    for _ in range(levels):
        seen.append((F.avg_pool2d(seen[-1][0], 2), F.avg_pool2d(seen[-1][1], 2)))
    total, weight = seen.pop()
    known = total / weight
    for total, weight in reversed(seen):
        known = total + (1 - weight) * F.interpolate(known, scale_factor=2, mode="bilinear")
    return known


def adapted(logits: Tensor, share: Tensor) -> Tensor:
    """Move a mask's logits [B, 1, H, W] by how much of the picture it covers: `share` [B, 1, 1, 1] in [0, 1].

    A classifier that learned where a class had one share is wrong where it has another, and by Bayes' rule the
    logarithm of their odds' ratio makes up for that (Saerens et al., Neural Computation 14(1), 2002, section 2.2). The
    picture's own share is an estimate, and is trusted in part. Where little is covered, doubtful places are no drops,
    while sure ones stay.
    """
    surprise = _TRUST * (torch.logit(share.clamp(*_SHARES)) - math.log(_USUAL / (1 - _USUAL)))
    return (1 + F.relu(-surprise)) * logits + surprise.clamp(max=_MOST)


def unveiled(image: Tensor, light: Tensor, density: Tensor) -> Tensor:
    """Take away what a drop out of focus does: in linear light it lets through exp(-density), and adds `light`.

    image [B, 3, H, W] in [0, 1], sRGB; light [B, 3, H / 2, W / 2] and density [B, 1, H / 2, W / 2], both smooth, are
    enlarged -> like image, not clipped.
    """
    veil = F.interpolate(torch.cat((light, density.clamp(-1, 3)), 1), scale_factor=2, mode="bilinear")
    return linear_rgb_to_rgb((rgb_to_linear_rgb(image) - veil[:, :3]) * veil[:, 3:].exp())


@dataclass(frozen=True)
class Look:
    """What one look at an image found: see `Derain` for `logits`, `behind` and `covered`; `through` is corrected."""

    degraded: Tensor
    logits: Tensor
    through: Tensor
    behind: Tensor
    covered: Tensor
    levels: int

    def flipped(self) -> Look:
        """Return the same of the mirror image."""
        planes = (self.degraded, self.logits, self.through, self.behind, self.covered)
        degraded, logits, through, behind, covered = (plane.flip(-1) for plane in planes)
        return Look(degraded, logits, through, behind, covered, self.levels)

    def result(self, logits: Tensor) -> Output:
        """Return the restored image when the mask has these logits."""
        mask = torch.sigmoid(logits)
        behind = self.behind + filled(self.degraded, mask.detach(), self.levels)
        change = torch.lerp(self.through, behind, self.covered) - self.degraded
        return Output(self.degraded + mask * change, {"mask": mask, "mask_logits": logits})


def averaged(seen: list[Output]) -> Output:
    """Average what several looks at one image give."""
    if len(seen) == 1:
        return seen[0]
    mask = mean([each.extra("mask") for each in seen])
    logits = torch.logit(mask, _LEAST_MASK)
    return Output(mean([each.image for each in seen]), {"mask": mask, "mask_logits": logits})


def mean(tensors: list[Tensor]) -> Tensor:
    """Return the mean of tensors of one shape."""
    return torch.stack(tensors).mean(0)
