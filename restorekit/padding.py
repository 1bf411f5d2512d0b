"""Padding images to the sizes that a generator accepts."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from restorekit.interface import SizeRule


def pad_to_rule(image: Tensor, rule: SizeRule) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Pad an image [B, C, H, W] at the bottom and the right to the sizes of `rule`.

    Pads by reflection where the image is large enough for it, and by repeating the edge beyond. Returns the padded
    image and a function that crops a result of that size back to H x W.
    """
    height, width = image.shape[-2:]
    down, right = rule.padded(height) - height, rule.padded(width) - width
    mirror_down, mirror_right = min(down, height - 1), min(right, width - 1)
    padded = F.pad(image, (0, mirror_right, 0, mirror_down), mode="reflect") if down or right else image
    rest = (right - mirror_right, down - mirror_down)
    if any(rest):
        padded = F.pad(padded, (0, rest[0], 0, rest[1]), mode="replicate")
    return padded, lambda result: result[..., :height, :width]
