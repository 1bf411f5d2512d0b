"""The losses of AttentiveGAN (Qian et al., CVPR 2018, equations 4, 8 and 12), unweighted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.errors import RecipeError, TrainingError
from restorekit.interface import LossInput


def _needed(value: Any, loss: str, what: str) -> Any:
    if value is None:
        raise TrainingError(f"the loss {loss!r} needs {what}, and got none; name what gives it in the recipe")
    return value


class AttentionLoss(nn.Module):
    """sum over t of decay ** (T - t) MSE(A_t, M): attention maps against the drop mask (equation 4).

    Needs ``batch.mask`` [B, 1, H, W] in {0, 1} and the generator's extra ``attention``.
    """

    def __init__(self, *, decay: float = 0.8) -> None:
        super().__init__()
        self.decay = decay

    def forward(self, seen: LossInput) -> Tensor:
        """Return the scalar; raise `TrainingError` when the mask or the maps are missing."""
        mask = _needed(seen.batch.mask, "attention", "a mask of the drops (prior 'mask-from-pair')")
        maps = _needed(seen.output.extras.get("attention"), "attention", "the generator's attention maps")
        last = len(maps) - 1
        terms = [self.decay ** (last - t) * F.mse_loss(each, mask) for t, each in enumerate(maps)]
        return torch.stack(terms).sum()


class MultiScaleLoss(nn.Module):
    """sum of weight * MSE over the smaller outputs and the full one, coarse to fine (equation 8).

    The clean image is brought to each size by the mean over areas (the paper does not say how). Needs
    ``batch.clean`` and the generator's extra ``scales``. `weights`: coarse to fine, the last for the full
    size.
    """

    def __init__(self, *, weights: Sequence[float] = (0.6, 0.8, 1.0)) -> None:
        super().__init__()
        self.weights = tuple(weights)

    def forward(self, seen: LossInput) -> Tensor:
        """Return the scalar; raise `TrainingError` without an image, `RecipeError` for wrong weights."""
        clean = _needed(seen.batch.clean, "multi-scale", "clean images")
        scales = _needed(seen.output.extras.get("scales"), "multi-scale", "the generator's smaller outputs")
        images = (*scales, seen.output.image)
        if len(images) != len(self.weights):
            raise RecipeError(
                f"the loss 'multi-scale' has {len(self.weights)} weights, but the generator gives"
                f" {len(images)} sizes; set losses.multi-scale.weights to {len(images)} numbers"
            )
        terms = [w * _scaled_mse(image, clean) for w, image in zip(self.weights, images, strict=True)]
        return torch.stack(terms).sum()


def _scaled_mse(image: Tensor, clean: Tensor) -> Tensor:
    if image.shape[-2:] != clean.shape[-2:]:
        clean = F.interpolate(clean, size=image.shape[-2:], mode="area")
    return F.mse_loss(image, clean)


class AttentionCriticLoss(nn.Module):
    """MSE(map(O), A_T) + MSE(map(R), 0): the discriminator's map term (equation 12).

    O is the restored image, R the clean one, A_T the generator's last attention map, which is a constant
    here. Belongs to a recipe's ``critic_losses``; the paper weights it by 0.05.
    """

    def forward(self, seen: LossInput) -> Tensor:
        """Return the scalar; raise `TrainingError` when a map is missing."""
        loss = "attention-critic"
        fake = _needed(seen.fake, loss, "a judgement of the restored image")
        real = _needed(seen.real, loss, "a judgement of the clean image (put it into critic_losses)")
        maps = _needed(seen.output.extras.get("attention"), loss, "the generator's attention maps")
        on_fake = _needed(fake.extras.get("attention_map"), loss, "the discriminator's attention map")
        on_real = _needed(real.extras.get("attention_map"), loss, "the discriminator's attention map")
        term: Tensor = F.mse_loss(on_fake, maps[-1].detach()) + on_real.square().mean()
        return term
