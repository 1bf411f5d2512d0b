"""Checks of generators alone."""

from __future__ import annotations

import torch

from restorekit.interface import Output, SizeRule
from restorekit.testing.check import CheckFailedError, Subject, for_kinds, require
from restorekit.testing.probing import built, run, size_problem, suggested_rule
from restorekit.testing.samples import batch, rule_of, sizes_for


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
            raise CheckFailedError(_wrong_size(subject, rule_of(network), height, width, problem)) from problem


def _wrong_size(subject: Subject, stated: SizeRule, height: int, width: int, problem: Exception) -> str:
    rule = suggested_rule(subject, built(subject))
    remedy = (
        f"it works with size_rule = SizeRule(multiple={rule.multiple}, minimum={rule.minimum}): set that"
        if rule
        else "no multiple up to 256 works either: the fault is not one of size"
    )
    return (
        f"an image of {height}x{width} pixels, which SizeRule(multiple={stated.multiple},"
        f" minimum={stated.minimum}) allows, fails ({problem}); {remedy}"
    )


@for_kinds("generator")
@torch.no_grad()
def check_leaves_its_input_alone(subject: Subject) -> None:
    """The image that it is given is the same behind the call; its result is in memory of its own."""
    network = built(subject).eval()
    side = rule_of(network).padded(64)
    degraded = batch(1, side, side).degraded
    before = degraded.clone()
    run(subject, network, degraded)
    require(torch.equal(before, degraded), "it changes the image that it is given; do not use in-place operations")


@for_kinds("generator")
@torch.no_grad()
def check_restores_into_range(subject: Subject) -> None:
    """Clipped, as the restorer does it, its image is finite and in [0, 1]; unclipped it is no caricature."""
    network = built(subject).eval()
    side = rule_of(network).padded(64)
    image = Output.of(network(batch(1, side, side).degraded)).image
    clipped = image.clamp(0, 1)
    require(bool(torch.isfinite(clipped).all()), "the clipped image has values that are not finite")
    far = float(image.abs().max())
    require(
        far < 100,
        f"its values reach {far:.3g}, and images are in [0, 1]; images in [-1, 1] or 0..255 must be converted"
        " inside the network",
    )
