"""Checks of discriminators alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restorekit.testing.check import Subject, for_kinds, require
from restorekit.testing.probing import built, sample
from restorekit.testing.samples import finite, seeded


@for_kinds("discriminator")
def check_gradient_reaches_the_candidate(subject: Subject) -> None:
    """A generator can learn from it: the logits depend on the candidate, with finite gradients."""
    network = built(subject).train()
    degraded = sample(subject, network)
    candidate = degraded.flip(-1).clone().requires_grad_()
    network(candidate, degraded).logits.sum().backward()
    gradient = candidate.grad
    require(
        gradient is not None and bool(gradient.any()),
        "no gradient reaches the candidate image: a generator could learn nothing from this discriminator",
    )
    require(finite(gradient), "the gradient at the candidate is not finite")


@for_kinds("discriminator")
@torch.no_grad()
def check_judges_logits(subject: Subject) -> None:
    """Logits are [B, ...], and not probabilities."""
    network = built(subject).eval()
    degraded = sample(subject, network, count=3)
    logits = network(degraded, degraded).logits
    require(
        logits.ndim >= 1 and logits.shape[0] == 3,
        f"logits have the shape {tuple(logits.shape)} for 3 images; keep the batch first",
    )
    bounded = all(bool(((v >= 0) & (v <= 1)).all()) for v in (logits, *_moved(network, degraded)))
    require(not bounded, "logits stay within [0, 1]: leave the sigmoid out, the losses apply it")


def _moved(network: nn.Module, degraded: Tensor) -> list[Tensor]:
    """Return the logits with weights moved far, at random: without a sigmoid they leave [0, 1]."""
    found = []
    for seed in range(4):
        with seeded(seed):
            for parameter in network.parameters():
                parameter.add_(0.5 * torch.randn_like(parameter))
        found.append(network(degraded, degraded).logits)
    return found
