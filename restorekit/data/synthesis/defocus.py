"""Shallow depth of field: photographs of which a part, or all, lies out of focus, as in portraits and close-ups.

Most training photographs are sharp from corner to corner. A network that has seen nothing else takes every soft
background for what a drop on the glass shows, which is out of focus too.
"""

from __future__ import annotations

import math

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from restorekit.keyed import uniform

SIGMA = (1.0, 6.0)  # pixels
RAMP = (0.1, 0.6)  # half-diagonals that the way from sharp to soft takes
REACH = (-1.2, 0.6)  # half-diagonals from the middle, at which softness begins: often all is soft, rarely little
_KERNEL = 31
_CHOSEN, _SIGMA, _ANGLE, _RAMP, _REACH = range(110, 115)


def _between(bounds: tuple[float, float], share: Tensor) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * share


def _softness(key: Tensor, height: int, width: int) -> Tensor:
    """Return how far out of focus each pixel is, in [0, 1]: [B, 1, H, W], rising across a slanted line."""
    half = math.hypot(height, width) / 2
    y = (torch.arange(height, device=key.device) - (height - 1) / 2).view(1, -1, 1) / half
    x = (torch.arange(width, device=key.device) - (width - 1) / 2).view(1, 1, -1) / half
    angle, ramp, reach = (
        value.view(-1, 1, 1)
        for value in (
            uniform(key, _ANGLE) * 2 * math.pi,
            _between(RAMP, uniform(key, _RAMP)),
            _between(REACH, uniform(key, _REACH)),
        )
    )
    along = ((x * angle.cos() + y * angle.sin() - reach) / ramp).clamp(0, 1)
    return (along * along * (3 - 2 * along)).unsqueeze(1)


def defocus(clean: Tensor, key: Tensor, share: float) -> Tensor:
    """Put parts of about `share` of the images out of focus: clean [B, 3, H, W] in [0, 1] -> the same.

    `key` [B]: what each image's draw depends on. The blur is a Gaussian, its sigma log-uniform in `SIGMA`.
    """
    height, width = clean.shape[-2:]
    low, high = (math.log(value) for value in SIGMA)
    sigma = _between((low, high), uniform(key, _SIGMA)).exp().to(clean)
    size = min(_KERNEL, 2 * min(height, width) - 1)  # reflected borders allow no more
    soft = gaussian_blur2d(clean, (size, size), sigma[:, None].expand(-1, 2))
    weight = _softness(key, height, width).to(clean)
    chosen = (uniform(key, _CHOSEN) < share).view(-1, 1, 1, 1)
    return torch.where(chosen, torch.lerp(clean, soft, weight), clean)
