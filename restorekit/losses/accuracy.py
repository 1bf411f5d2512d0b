"""How often a discriminator is right."""

from __future__ import annotations

from torch import Tensor

from restorekit.interface import Judgement


def accuracy(judgement: Judgement, real: bool, threshold: float = 0.0) -> Tensor:
    """Return the share of logits (samples, patches) that are judged rightly, a float32 scalar in [0, 1].

    A logit above `threshold` says "real", any other "fake". `real`: what the images are. `threshold`: 0 for
    logits; 0.5 where a discriminator was trained with ``lsgan`` labels 0 and 1 (`Critic.threshold`).
    """
    says_real = judgement.logits > threshold
    return (says_real if real else ~says_real).float().mean()
