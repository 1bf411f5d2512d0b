"""Checks of generators alone."""

from __future__ import annotations

import torch

from restorekit.interface import Output, SizeRule
from restorekit.testing.check import CheckFailedError, Subject, for_kinds, require
from restorekit.testing.probing import built, sample, size_problem, suggested_rule
from restorekit.testing.samples import batch, seeded, sizes_for


@for_kinds("generator")
def check_keeps_any_size(subject: Subject) -> None:
    """It keeps the shape of images of every size that its `size_rule` allows, odd ones among them."""
    network = built(subject)
    stated = getattr(network, "size_rule", None)
    require(
        stated is None or isinstance(stated, SizeRule),
        f"size_rule is {stated!r}; make it a restorekit.interface.SizeRule",
    )
    for height, width in sizes_for(network):
        problem = size_problem(subject, network, height, width)
        if problem is not None:
            raise CheckFailedError(_wrong_size(subject, SizeRule.of(network), height, width, problem)) from problem


def _wrong_size(subject: Subject, stated: SizeRule, height: int, width: int, problem: Exception) -> str:
    rule = suggested_rule(subject, built(subject))
    remedy = (
        f"it works with size_rule = SizeRule(multiple={rule.multiple}, minimum={rule.minimum}): set that"
        if rule
        else "no multiple up to 256 works either: take out what holds for one size or one orientation alone, such as a"
        " parameter [H, W], a flatten before nn.Linear, or swapped axes"
    )
    return (
        f"an image of {height}x{width} pixels, which SizeRule(multiple={stated.multiple},"
        f" minimum={stated.minimum}) allows, fails ({problem}); {remedy}"
    )


@for_kinds("generator")
@torch.no_grad()
def check_is_not_clipped_in_training(subject: Subject) -> None:
    """Its image is not clipped to [0, 1]: where it was, nothing would be learned. The restorer clips."""
    network = built(subject).train()
    degraded = (sample(subject, network) > 0.5).float()
    for scale in (0.01, 0.1):
        with seeded(4):
            for parameter in network.parameters():
                parameter.add_(scale * torch.randn_like(parameter))
            image = Output.of(network(degraded)).image
        ends = [float((image == end).float().mean()) for end in (0, 1)]
        inside = bool(((image >= 0) & (image <= 1)).all())
        require(
            not (inside and min(ends) > 0.01),
            f"in training {100 * sum(ends):.0f} % of its values are exactly 0 or 1, and none lies beyond: it clips its"
            " image, and where it does nothing is learned. Leave clamp out; the restorer clips",
        )


@for_kinds("generator")
@torch.no_grad()
def check_restores_into_range(subject: Subject) -> None:
    """Clipped, as the restorer does it, its image is finite and in [0, 1]; unclipped it is no caricature."""
    network = built(subject).eval()
    side = SizeRule.of(network).padded(64)
    image = Output.of(network(batch(1, side, side).degraded)).image
    clipped = image.clamp(0, 1)
    require(bool(torch.isfinite(clipped).all()), "the clipped image has values that are not finite")
    far = float(image.abs().max())
    require(
        far < 100,
        f"its values reach {far:.3g}, and images are in [0, 1]; images in [-1, 1] or 0..255 must be converted"
        " inside the network",
    )
