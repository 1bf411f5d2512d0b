"""Adversarial losses on logits: the generator's side and the discriminator's ("critic") side.

``bce``: binary cross-entropy (Goodfellow et al. 2014, non-saturating). ``lsgan``: squared distance to the
label, without the factor 1/2 (Mao et al. 2017). ``hinge``: Lim and Ye 2017.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit.errors import RecipeError, TrainingError, closest
from restorekit.interface import LossInput
from restorekit.keyed import uniform
from restorekit.losses._inputs import fake_of, real_of

Mode = Literal["bce", "lsgan", "hinge"]


def _check_mode(loss: str, mode: str) -> None:
    if mode not in get_args(Mode):
        raise RecipeError(
            f"{loss}: mode {mode!r} is unknown; use one of {', '.join(get_args(Mode))}." + closest(mode, get_args(Mode))
        )


def distance(logits: Tensor, labels: Tensor, mode: Mode) -> Tensor:
    """Return the mean over samples and patches of one mode's distance of logits to labels.

    `labels`: one per sample, [B] or [1]; probabilities in [0, 1] (hinge: above 1/2 means "real").
    """
    target = labels.to(logits.dtype).view(-1, *[1] * (logits.ndim - 1)).expand_as(logits)
    if mode == "bce":
        return F.binary_cross_entropy_with_logits(logits, target)
    if mode == "lsgan":
        return F.mse_loss(logits, target)
    return F.relu(1 - torch.where(target > 0.5, logits, -logits)).mean()


class Adversarial(nn.Module):
    """The generator's side: low when the discriminator takes the output for real.

    bce: BCE(logits, label), lsgan: mean (logits - label)^2, hinge: -mean(logits). `label`: what the
    generator aims at, 1 unless softened (not for hinge).
    """

    def __init__(self, mode: Mode = "bce", label: float = 1.0) -> None:
        super().__init__()
        _check_mode("adversarial", mode)
        if not 0.5 < label <= 1 or (mode == "hinge" and label != 1):
            raise RecipeError(f"adversarial: label={label}; it must be in (0.5, 1], and 1 in mode 'hinge'")
        self.mode: Mode = mode
        self.label = label

    def forward(self, seen: LossInput) -> Tensor:
        """Return the loss: one scalar, of the precision of its inputs."""
        logits = fake_of(seen, "adversarial").logits
        if self.mode == "hinge":
            return -logits.mean()
        return distance(logits, logits.new_tensor([self.label]), self.mode)


class Critic(nn.Module):
    """The discriminator's side: distance of real logits to `real` plus that of fake logits to `fake`.

    The two terms are added, not averaged. `real`, `fake`: labels; 0.9 and 0.1 are the usual soft ones
    (Salimans et al. 2016; not for hinge). `flip`: share of samples whose label is swapped, 0.05 to 0.1
    for noisy labels, drawn for real and fake separately from ``batch.key`` alone: the same on any device
    and number of processes. `threshold`: the logit between "fake" and "real", for
    `restorekit.losses.accuracy.accuracy`.
    """

    def __init__(self, mode: Mode = "bce", real: float = 1.0, fake: float = 0.0, flip: float = 0.0) -> None:
        super().__init__()
        _check_mode("critic", mode)
        if not 0 <= fake < 0.5 < real <= 1:
            raise RecipeError(
                f"critic: real={real}, fake={fake}; real must be in (0.5, 1] and fake in [0, 0.5), such as 0.9 and 0.1"
            )
        if mode == "hinge" and (real, fake) != (1, 0):
            raise RecipeError("critic: mode 'hinge' has no soft labels; leave real=1 and fake=0, or use 'bce'")
        if not 0 <= flip < 0.5:
            raise RecipeError(f"critic: flip={flip}; it must be in [0, 0.5), such as 0.05")
        self.mode: Mode = mode
        self.real, self.fake, self.flip = real, fake, flip
        self.threshold = 0.5 if mode == "lsgan" else 0.0

    def labels(self, seen: LossInput, real: bool) -> Tensor:
        """Return the labels of the real or the fake images: [B] with noise, [1] without."""
        key, image = seen.batch.key, seen.output.image
        label, other = (self.real, self.fake) if real else (self.fake, self.real)
        if self.flip == 0:
            return image.new_tensor([label])
        if key is None:
            raise TrainingError(
                "critic: noisy labels (flip) are drawn from batch.key, and the batch has none; set flip=0 or give keys"
            )
        flipped = uniform(key.to(image.device), f"critic.flip.{'real' if real else 'fake'}") < self.flip
        return torch.where(flipped, other, label).to(image.dtype)

    def forward(self, seen: LossInput) -> Tensor:
        """Return the loss: one scalar, of the precision of its inputs."""
        real = distance(real_of(seen, "critic").logits, self.labels(seen, real=True), self.mode)
        fake = distance(fake_of(seen, "critic").logits, self.labels(seen, real=False), self.mode)
        return real + fake
