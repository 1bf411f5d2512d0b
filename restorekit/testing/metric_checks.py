"""Checks of metrics."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from restorekit.interface import Metric
from restorekit.testing.check import Subject, answer_on_size, for_kinds, naming_no_device, require
from restorekit.testing.samples import SIZES, image, seeded

_TOLERANCE = 1e-5


def _metric(subject: Subject) -> Metric:
    with seeded():
        metric: Metric = subject.build()
    return metric


def _pair(count: int = 3, height: int = 64, width: int = 72) -> tuple[Tensor, Tensor]:
    """Return restored and clean images; the later in the batch, the worse restored."""
    clean = image(count, height, width)
    noise = image(count, height, width, seed=9) - 0.5
    amount = torch.linspace(0.05, 0.4, count).view(-1, 1, 1, 1).to(clean)
    return (clean + amount * noise).clamp(0, 1), clean


@for_kinds("metric", gate=True)
def check_scores_each_image(subject: Subject) -> None:
    """It returns one float64 score per image, without a gradient."""
    with naming_no_device():
        scores = _metric(subject)(*_pair())
    require(isinstance(scores, Tensor), f"it returned a {type(scores).__name__}; return a tensor [B]")
    require(tuple(scores.shape) == (3,), f"3 images gave scores of the shape {tuple(scores.shape)}; give [B]")
    require(scores.dtype == torch.float64, f"its scores are {scores.dtype}; compute them in float64")
    require(bool(torch.isfinite(scores).all()), f"its scores are {scores.tolist()}")
    require(not scores.requires_grad, "its scores carry a gradient; compute them under torch.no_grad()")


@for_kinds("metric", gate=True)
def check_leaves_its_input_alone(subject: Subject) -> None:
    """The images are the same behind the call."""
    restored, clean = _pair()
    copies = restored.clone(), clean.clone()
    _metric(subject)(restored, clean)
    require(
        torch.equal(restored, copies[0]) and torch.equal(clean, copies[1]),
        "it changes the images that it is given; do not use in-place operations",
    )


@for_kinds("metric")
def check_says_what_is_better(subject: Subject) -> None:
    """`higher_is_better` is true to what it does: perfect images score best, the noisiest worst."""
    metric = _metric(subject)
    better = getattr(metric, "higher_is_better", None)
    require(isinstance(better, bool), f"higher_is_better is {better!r}; set it to True or False")
    unit = getattr(metric, "unit", None)
    require(isinstance(unit, str), f"unit is {unit!r}; give a string, empty for numbers without a unit")
    restored, clean = _pair()
    perfect = metric(clean, clean)
    require(not bool(perfect.isnan().any()), "identical images score NaN")
    ladder = [float(perfect[0]), *map(float, metric(restored, clean))]
    best_first = sorted(ladder, reverse=bool(better))
    require(
        ladder == best_first and ladder[0] != ladder[-1],
        f"higher_is_better is {better}, and images from perfect to ever noisier score {ladder}",
    )


@for_kinds("metric")
def check_independent_of_the_batch(subject: Subject) -> None:
    """An image scores the same alone and among others, and at every call."""
    metric = _metric(subject)
    restored, clean = _pair()
    together = metric(restored, clean)
    require(torch.equal(together, metric(restored, clean)), "two calls on the same images differ")
    alone = torch.cat([metric(restored[i : i + 1], clean[i : i + 1]) for i in range(3)])
    difference = float((together - alone).abs().max())
    require(
        difference <= _TOLERANCE * max(1.0, float(together.abs().max())),
        f"an image alone and in a batch scores differently, by {difference:.3g}; never pool over images",
    )


@for_kinds("metric")
def check_any_size(subject: Subject) -> None:
    """Odd and tiny sizes give a score, or an error of restorekit's that says what is too small."""
    metric = _metric(subject)
    for height, width in (*SIZES, (11, 13), (2, 3), (1, 1)):
        pair = _pair(2, height, width)
        scores = answer_on_size(functools.partial(metric, *pair), height, width)
        if scores is None:
            continue
        require(not bool(scores.isnan().any()), f"on {height}x{width} pixels it scores {scores.tolist()}")
