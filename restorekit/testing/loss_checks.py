"""Checks of losses."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from restorekit.interface import Judgement, LossInput, Output
from restorekit.testing.check import CheckFailedError, Subject, answer_on_size, for_kinds, require
from restorekit.testing.loss_inputs import Case, loss_cases, needs_networks
from restorekit.testing.samples import SIZES, finite, seeded

LossFunction = Callable[[LossInput], Tensor]


def _loss(subject: Subject) -> LossFunction:
    with seeded():
        loss: LossFunction = subject.build()
    return loss


def _working(subject: Subject, loss: LossFunction, **size: int) -> list[tuple[Case, Tensor]]:
    """Return the phases in which the loss works, with its value there.

    Raises `CheckFailedError` when it works in none.
    """
    found, problems = [], []
    for case in loss_cases(subject, **size):
        try:
            found.append((case, loss(case.seen)))
        except Exception as error:  # a loss for the other phase may refuse this one
            problems.append(f"in the {case.phase}'s phase: {type(error).__name__}: {error}")
            cause = error
    if not found:
        raise CheckFailedError(
            f"it fails on what its entry declares as needs ({sorted(subject.component.entry.needs)}):"
            f" {'; '.join(problems)}"
        ) from cause
    return found


@for_kinds("loss")
def check_is_a_finite_scalar(subject: Subject) -> None:
    """It returns one finite float32 number, without dimensions."""
    loss = _loss(subject)
    for case, value in _working(subject, loss):
        _require_scalar(value, f"in the {case.phase}'s phase")


def _require_scalar(value: Any, where: str) -> None:
    require(isinstance(value, Tensor), f"{where} it returned a {type(value).__name__}; return a tensor")
    require(value.ndim == 0, f"{where} its value has the shape {tuple(value.shape)}; reduce it to one number")
    require(value.dtype == torch.float32, f"{where} its value is {value.dtype}; compute it in float32")
    require(finite(value), f"{where} its value is {float(value.detach())}")


@for_kinds("loss")
def check_gives_gradients(subject: Subject) -> None:
    """Something can be learned from it: its gradient at what networks made is finite and not zero."""
    loss = _loss(subject)
    for case, value in _working(subject, loss):
        require(value.requires_grad, f"in the {case.phase}'s phase its value carries no gradient")
        gradients = torch.autograd.grad(value, case.learned, allow_unused=True)
        present = [g for g in gradients if g is not None]
        require(finite(present), f"in the {case.phase}'s phase its gradient is not finite")
        require(
            any(bool(g.any()) for g in present),
            f"in the {case.phase}'s phase its gradient is zero everywhere",
        )


@for_kinds("loss")
def check_finite_under_bfloat16(subject: Subject) -> None:
    """It stays finite for what networks under bfloat16 autocast give, cast to float32."""
    loss = _loss(subject)
    for case, _ in _working(subject, loss):
        seen = case.seen
        coarse = replace(
            seen,
            output=Output(_coarse(seen.output.image), {k: _coarse(v) for k, v in seen.output.extras.items()}),
            fake=_coarse_judgement(seen.fake),
            real=_coarse_judgement(seen.real),
        )
        value = loss(coarse)
        require(finite(value), f"in the {case.phase}'s phase it is {float(value.detach())} for bfloat16 results")


def _coarse(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_coarse(part) for part in value)
    return value.bfloat16().float()


def _coarse_judgement(judgement: Judgement | None) -> Judgement | None:
    if judgement is None:
        return None
    return Judgement(_coarse(judgement.logits), {k: _coarse(v) for k, v in judgement.extras.items()})


@for_kinds("loss")
def check_deterministic(subject: Subject) -> None:
    """The same input gives the same value, whatever the random state: noise comes from ``batch.key``."""
    loss = _loss(subject)
    for case, _ in _working(subject, loss):
        values = []
        for seed in (1, 2):
            with seeded(seed):
                values.append(float(loss(case.seen).detach()))
        require(
            values[0] == values[1],
            f"in the {case.phase}'s phase two calls give {values[0]} and {values[1]}; draw noise from"
            " batch.key, not from the global random state",
        )


@for_kinds("loss")
def check_finite_at_perfection(subject: Subject) -> None:
    """Value and gradient are finite when the image is restored perfectly: roots and logs fail there."""
    if needs_networks(subject):
        return  # with extras of a network there is no perfect output to hand in
    loss = _loss(subject)
    for case, _ in _working(subject, loss):
        clean = case.seen.batch.clean
        if case.phase != "generator" or clean is None:
            continue
        perfect = clean.clone().requires_grad_()
        value = loss(replace(case.seen, output=Output(perfect)))
        require(finite(value), f"its value is {float(value.detach())} when the output equals the clean image")
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value, [perfect], allow_unused=True)
            require(finite([gradient]), "its gradient is not finite when the output equals the clean image")


@for_kinds("loss")
def check_gradient_is_right(subject: Subject) -> None:
    """Its gradient predicts, within 5 %, how its value changes along the gradient's sign.

    Taken at the restored image or, for a loss that wants a judgement, at the logits of the restored image.
    """
    loss = _loss(subject)
    case, value = _working(subject, loss)[0]
    at = case.seen.fake.logits if case.seen.fake else case.seen.output.image
    gradient: Tensor | None = torch.autograd.grad(value, [at], allow_unused=True)[0]
    if gradient is None:  # it looks at other extras only, of which any one may be left out
        return
    step = 1e-3 * gradient.sign()
    with torch.no_grad():
        ahead, behind = (loss(_moved(case.seen, s)) for s in (step, -step))
    measured, predicted = float(ahead - behind), 2 * float((gradient * step).sum())
    require(
        abs(measured - predicted) <= 0.05 * abs(predicted) + 2e-6 * abs(float(value.detach())),
        f"along its gradient it should change by {predicted:.4g} and changes by {measured:.4g}",
    )


def _moved(seen: LossInput, step: Tensor) -> LossInput:
    if seen.fake is not None:
        return replace(seen, fake=Judgement(seen.fake.logits + step, seen.fake.extras))
    return replace(seen, output=Output(seen.output.image + step, seen.output.extras))


@for_kinds("loss")
def check_any_size(subject: Subject) -> None:
    """Odd and tiny sizes give a finite value, or an error of restorekit's that says what is too small."""
    if needs_networks(subject):
        return  # the networks decide which sizes occur
    loss = _loss(subject)
    phases = {case.phase for case, _ in _working(subject, loss)}
    for height, width in (*SIZES, (11, 13), (2, 3), (1, 1)):
        for case in (c for c in loss_cases(subject, height, width) if c.phase in phases):
            value = answer_on_size(functools.partial(loss, case.seen), height, width)
            if value is None:
                continue
            require(finite(value), f"on {height}x{width} pixels its value is {float(value.detach())}")
