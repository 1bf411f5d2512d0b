"""Checks of losses."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from restorekit.interface import Batch, BatchFields, Judgement, LossInput, Output
from restorekit.testing.check import (
    CheckFailedError,
    Subject,
    answer_on_size,
    for_kinds,
    naming_no_device,
    require,
)
from restorekit.testing.loss_inputs import Case, loss_cases, needs_networks
from restorekit.testing.samples import SIZES, finite, image, seeded, tensors

_NO_GRADIENT = "in the {}'s phase its value carries no gradient; compute it by torch alone, without item() and detach()"

LossFunction = Callable[[LossInput], Tensor]


def _loss(subject: Subject) -> LossFunction:
    with seeded():
        loss: LossFunction = subject.build()
    return loss


def working(subject: Subject, loss: LossFunction, **size: int) -> list[tuple[Case, Tensor]]:
    """Return the phases in which the loss works, with its value there.

    Raises `CheckFailedError` when it works in none.
    """
    found, problems = [], []
    for case in loss_cases(subject, **size):
        try:
            found.append((case, loss(case.seen)))
        except Exception as error:  # a loss for the other phase may refuse this one
            problems.append(f"in the {case.phase}'s phase: {type(error).__name__}: {error}{_if_called_wrongly(error)}")
            cause = error
    if not found:
        raise CheckFailedError(
            f"it fails on what its entry declares as needs ({sorted(subject.component.entry.needs)}):"
            f" {'; '.join(problems)}"
        ) from cause
    return found


def _if_called_wrongly(error: Exception) -> str:
    wrongly = isinstance(error, TypeError) and "positional argument" in str(error)
    return "; a loss is called with one LossInput: seen.output.image, seen.clean" if wrongly else ""


@for_kinds("loss", gate=True)
def check_is_a_finite_scalar(subject: Subject) -> None:
    """It returns one finite float32 number, without dimensions, from what its entry declares that it needs."""
    with naming_no_device():
        loss = _loss(subject)
        found = working(subject, loss)
    for case, value in found:
        _require_scalar(value, f"in the {case.phase}'s phase")


@for_kinds("loss", gate=True)
def check_leaves_its_input_alone(subject: Subject) -> None:
    """What it sees is the same behind the call."""
    loss = _loss(subject)
    phases = {case.phase for case, _ in working(subject, loss)}
    for case in (c for c in loss_cases(subject) if c.phase in phases):  # made anew: the first call may have changed it
        before = [t.detach().clone() for t in _all_tensors(case.seen)]
        with torch.no_grad():
            loss(case.seen)
        same = all(torch.equal(a, b) for a, b in zip(before, _all_tensors(case.seen), strict=True))
        require(same, f"in the {case.phase}'s phase it changes what it is given; do not use in-place operations")


def _all_tensors(seen: LossInput) -> list[Tensor]:
    data = [getattr(seen.batch, f.name) for f in fields(seen.batch)]
    results = [seen.output.image, dict(seen.output.extras)]
    for judgement in (seen.fake, seen.real):
        results += [judgement.logits, dict(judgement.extras)] if judgement else []
    return tensors([*data, *results])


@for_kinds("loss", "prior", "metric")
def check_has_nothing_to_learn(subject: Subject) -> None:
    """It holds no parameters that want training: only networks are trained."""
    helper = subject.build()
    named = helper.named_parameters() if isinstance(helper, nn.Module) else ()
    left = [name for name, parameter in named if parameter.requires_grad]
    require(
        not left,
        f"no optimizer ever sees its {', '.join(left[:5])}; make it a setting or a buffer, freeze it"
        " (requires_grad_(False)), or put it into a network",
    )


@for_kinds("loss")
def check_stands_empty_masks(subject: Subject) -> None:
    """It is finite where no pixel is degraded, and where all are: a mean over a mask divides by nothing."""
    if "mask" not in subject.component.entry.needs:
        return
    loss = _loss(subject)
    for case, _ in working(subject, loss):
        mask = case.seen.mask
        for name, fill in (("without", torch.zeros_like(mask)), ("of nothing but", torch.ones_like(mask))):
            value = loss(replace(case.seen, batch=case.seen.batch.replace(mask=fill)))
            require(
                finite(value),
                f"for images {name} degraded pixels it is {float(value.detach())}; where it divides by the size of the"
                " mask, let that be at least 1",
            )


@for_kinds("loss")
def check_falls_as_images_get_better(subject: Subject) -> None:
    """It is smaller for an image near the clean one than for one far from it: training makes it small."""
    if needs_networks(subject) or not {"clean", "references"} & set(subject.component.entry.needs):
        return
    loss = _loss(subject)
    for case, _ in working(subject, loss):
        if case.phase != "generator" or case.seen.fake is not None:
            continue
        data = case.seen.batch
        target = data.clean if data.clean is not None else _mean_reference(data)
        count, _, height, width = data.degraded.shape
        noise = image(count, height, width, seed=11) - 0.5
        near, far = (
            float(loss(replace(case.seen, output=Output(target + share * noise))).detach()) for share in (0.1, 1)
        )
        require(
            near < far,
            f"it is {near:.4g} for images near the clean ones and {far:.4g} for images far from them; training makes a"
            " loss small, so turn its sign",
        )


def _mean_reference(data: Batch) -> Tensor:
    assert data.references is not None
    return data.references.mean(1)


@for_kinds("loss")
@torch.no_grad()
def check_is_a_mean_over_the_batch(subject: Subject) -> None:
    """The same images twice in a batch give the same value: a sum would change with the size of the batch."""
    loss = _loss(subject)
    for case, value in working(subject, loss):
        once, twice = float(value), float(loss(_twice(case.seen)))
        require(
            abs(once - twice) <= 0.02 * abs(once) + 1e-6,
            f"in the {case.phase}'s phase it is {once:.4g}, and {twice:.4g} when every image is in the batch twice;"
            " take the mean over the samples, not the sum",
        )


def _twice(value: Any) -> Any:
    """Return what a loss sees with every sample twice in the batch."""
    if isinstance(value, Tensor):
        return torch.cat([value, value])
    if isinstance(value, dict):
        return {key: _twice(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_twice(item) for item in value) if not _names(value) else value * 2
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _twice(getattr(value, f.name)) for f in fields(value)})
    return value


def _names(value: tuple[object, ...]) -> bool:
    return all(isinstance(item, str) for item in value)


def _require_scalar(value: object, where: str) -> None:
    require(isinstance(value, Tensor), f"{where} it returned a {type(value).__name__}; return a tensor")
    assert isinstance(value, Tensor)
    require(value.ndim == 0, f"{where} its value has the shape {tuple(value.shape)}; reduce it to one number")
    require(value.dtype == torch.float32, f"{where} its value is {value.dtype}; compute it in float32")
    require(finite(value), f"{where} its value is {float(value.detach())}")


@for_kinds("loss", gate=True)
def check_gives_gradients(subject: Subject) -> None:
    """Something can be learned from it: its gradient at what networks made is finite and not zero."""
    loss = _loss(subject)
    for case, value in working(subject, loss):
        require(value.requires_grad, _NO_GRADIENT.format(case.phase))
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
    for case, _ in working(subject, loss):
        seen = case.seen
        coarse = replace(
            seen,
            output=Output(_coarse(seen.output.image), _coarse_extras(seen.output.extras)),
            fake=_coarse_judgement(seen.fake),
            real=_coarse_judgement(seen.real),
        )
        value = loss(coarse)
        require(finite(value), f"in the {case.phase}'s phase it is {float(value.detach())} for bfloat16 results")


def _coarse(value: Tensor) -> Tensor:
    return value.bfloat16().float()


def _coarse_extras(extras: Mapping[str, Tensor | tuple[Tensor, ...]]) -> dict[str, Tensor | tuple[Tensor, ...]]:
    return {name: tuple(map(_coarse, v)) if isinstance(v, tuple) else _coarse(v) for name, v in extras.items()}


def _coarse_judgement(judgement: Judgement | None) -> Judgement | None:
    if judgement is None:
        return None
    return Judgement(_coarse(judgement.logits), _coarse_extras(judgement.extras))


@for_kinds("loss", gate=True)
def check_deterministic(subject: Subject) -> None:
    """The same input gives the same value, whatever the random state and what came before: noise comes from the key."""
    loss = _loss(subject)
    for case, _ in working(subject, loss):
        values = []
        for seed in (1, 2):
            with seeded(seed):
                values.append(float(loss(case.seen).detach()))
        require(
            values[0] == values[1],
            f"in the {case.phase}'s phase two calls give {values[0]} and {values[1]}; draw noise from"
            " batch.key, not from the global random state",
        )
        loss(replace(case.seen, output=Output(1 - case.seen.output.image, case.seen.output.extras)))
        again = float(loss(case.seen).detach())
        require(
            again == values[0],
            f"in the {case.phase}'s phase it is {values[0]:.6g}, and behind other images {again:.6g}; keep nothing of"
            " one batch for the next: a run that goes on would start without it",
        )


@for_kinds("loss")
def check_uses_what_it_declares(subject: Subject) -> None:
    """What its entry's `needs` names of the data changes its value: what is declared is asked of every data set."""
    loss = _loss(subject)
    cases = working(subject, loss)
    if any(case.seen.fake is not None for case, _ in cases):
        return  # what is judged was made of them
    for name in sorted({"clean", "mask", "references"} & set(subject.component.entry.needs)):
        differs = any(
            not torch.equal(loss(replace(case.seen, batch=_inverted(case.seen.batch, name))), value)
            for case, value in cases
        )
        require(
            differs,
            f"its entry declares needs={name!r}, and its value is the same for any {name}; use it, or leave it out",
        )


def _inverted(data: Batch, name: str) -> Batch:
    values: BatchFields = {name: 1 - getattr(data, name)}  # type: ignore[misc]
    return data.replace(**values)


@for_kinds("loss")
def check_finite_at_perfection(subject: Subject) -> None:
    """Value and gradient are finite when the image is restored perfectly: roots and logs fail there."""
    if needs_networks(subject):
        return  # with extras of a network there is no perfect output to hand in
    loss = _loss(subject)
    for case, _ in working(subject, loss):
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
    case, value = working(subject, loss)[0]
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
    phases = {case.phase for case, _ in working(subject, loss)}
    for height, width in (*SIZES, (11, 13), (2, 3), (1, 1)):
        for case in (c for c in loss_cases(subject, height, width) if c.phase in phases):
            value = answer_on_size(functools.partial(loss, case.seen), height, width)
            if value is None:
                continue
            require(finite(value), f"on {height}x{width} pixels its value is {float(value.detach())}")
