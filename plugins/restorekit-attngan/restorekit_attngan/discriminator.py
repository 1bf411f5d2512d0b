"""The attentive discriminator of Qian et al., CVPR 2018 (arXiv 1711.10098), section 4.3."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.errors import RecipeError
from restorekit.interface import Judgement

POOLED = 14
SMALLEST_CROP = 11


class AttentiveDiscriminator(nn.Module):
    """Judge a candidate, looking where its own attention map points.

    candidate [B, 3, H, W] in [0, 1] -> `Judgement` with logits [B, 1] and the extra ``attention_map``
    [B, 1, H, W]. The degraded image is not used. H and W are at least 11; before the dense layers the
    features are averaged to 14x14, which changes nothing at the paper's 224x224 crops.

    `width`: channels of the widest strided layer; all others keep the paper's proportions to it.
    Raises `RecipeError` when `width` is below 8 or a crop is too small.
    """

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        if width < 8:
            raise RecipeError(f"discriminator.width is {width}; give an integer of at least 8")
        widths = (3, width // 8, width // 4, width, 2 * width, 2 * width, 2 * width)
        layers: list[nn.Module] = []
        for inside, outside in pairwise(widths):
            layers += [nn.Conv2d(inside, outside, 5, padding=2), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.to_map = nn.Conv2d(2 * width, 1, 5, padding=2)
        self.reduce = nn.Sequential(
            nn.Conv2d(2 * width, width, 5, 4, 1), nn.ReLU(), nn.Conv2d(width, width // 2, 5, 4, 1), nn.ReLU()
        )
        self.dense = nn.Sequential(nn.Linear(width // 2 * POOLED * POOLED, 16 * width), nn.Linear(16 * width, 1))
        for module in (*self.features, *self.reduce):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, candidate: Tensor, degraded: Tensor) -> Judgement:
        """Judge `candidate`; see the class for shapes."""
        if min(candidate.shape[-2:]) < SMALLEST_CROP:
            raise RecipeError(
                f"the attentive discriminator was given {candidate.shape[-1]}x{candidate.shape[-2]} pixels;"
                f" it needs at least {SMALLEST_CROP}: raise data.crop"
            )
        features = self.features(candidate)
        attention_map = self.to_map(features)
        reduced = self.reduce(features * attention_map)
        if reduced.shape[-2:] != (POOLED, POOLED):
            reduced = F.adaptive_avg_pool2d(reduced, POOLED)
        # `contiguous` keeps the order channel, row, column in every memory format.
        return Judgement(self.dense(reduced.contiguous().flatten(1)), {"attention_map": attention_map})
