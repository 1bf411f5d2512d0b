"""Checks of priors."""

from __future__ import annotations

import functools
from dataclasses import FrozenInstanceError

import torch
from torch import Tensor, nn

from restorekit.interface import Batch, BatchFields
from restorekit.testing.check import (
    CheckFailedError,
    Subject,
    answer_on_size,
    for_kinds,
    naming_no_device,
    require,
)
from restorekit.testing.samples import SIZES, batch, pick, seeded

_FIELDS = ("mask", "references")


def _prior(subject: Subject) -> nn.Module:
    with seeded():
        prior = subject.build()
    require(isinstance(prior, nn.Module), f"it is a {type(prior).__name__}; it must be a torch.nn.Module")
    assert isinstance(prior, nn.Module)
    return prior


def _input(subject: Subject, count: int, height: int, width: int) -> Batch:
    """Return a batch that holds only what the prior's entry declares that it needs."""
    needs = subject.component.entry.needs
    hidden: BatchFields = {}
    if "clean" not in needs:
        hidden["clean"] = None
    if "mask" not in needs:
        hidden["mask"] = None
    return batch(count, height, width).replace(**hidden)


def _given(subject: Subject, prior: nn.Module, data: Batch) -> dict[str, Tensor]:
    result = _called(subject, prior, data)
    require(isinstance(result, Batch), f"it returned a {type(result).__name__}; return the batch, replaced")
    entry = subject.component.entry
    found = {name: getattr(result, name) for name in _FIELDS if name in entry.gives}
    missing = [name for name, value in found.items() if not isinstance(value, Tensor)]
    require(not missing, f"its entry says that it gives {', '.join(missing)}, and it did not")
    return found


def _called(subject: Subject, prior: nn.Module, data: Batch) -> object:
    try:
        with naming_no_device():
            return prior(data)
    except (TypeError, AttributeError) as error:
        needs = sorted(subject.component.entry.needs)
        raise CheckFailedError(
            f"it fails on what its entry declares as needs ({needs}): {type(error).__name__}: {error}; {_remedy(error)}"
        ) from error


def _remedy(error: Exception) -> str:
    if isinstance(error, FrozenInstanceError):
        return "a batch is not changed: return batch.replace(mask=...)"
    if "'Batch'" in str(error):
        return "it is called with the Batch: take batch.degraded"
    return "declare all that it uses"


@for_kinds("prior", gate=True)
def check_gives_what_it_declares(subject: Subject) -> None:
    """What it gives has the right shape and range, and takes no part in learning."""
    gives = set(subject.component.entry.gives)
    require(
        gives and gives <= set(_FIELDS),
        f"its entry declares gives={sorted(gives)}; a prior gives mask or references",
    )
    data = _input(subject, 2, 64, 72)
    found = _given(subject, _prior(subject), data)
    for name, value in found.items():
        require(not value.requires_grad, f"{name} carries a gradient; decorate forward with torch.no_grad()")
    if "mask" in found:
        _require_mask(found["mask"], (2, 1, 64, 72))
    if "references" in found:
        _require_references(found["references"], (2, 64, 72))


def _require_mask(mask: Tensor, shape: tuple[int, ...]) -> None:
    require(tuple(mask.shape) == shape, f"the mask has the shape {tuple(mask.shape)} instead of {shape}")
    values = torch.unique(mask)
    require(
        mask.dtype == torch.float32 and bool(((values == 0) | (values == 1)).all()),
        f"the mask is {mask.dtype} with values such as {values[:4].tolist()}; give float32 with 0 and 1 only",
    )


def _require_references(references: Tensor, shape: tuple[int, int, int]) -> None:
    count, height, width = shape
    actual = tuple(references.shape)
    fits = len(actual) == 5 and (actual[0], *actual[2:]) == (count, 3, height, width)
    require(fits, f"references have the shape {actual} instead of ({count}, K, 3, {height}, {width})")
    inside = bool(((references >= 0) & (references <= 1)).all())
    require(inside and references.dtype == torch.float32, "references must be float32 in [0, 1]")


@for_kinds("prior")
def check_leaves_its_input_alone(subject: Subject) -> None:
    """The images of the batch are the same behind the call, in the old batch and in the new one."""
    data = _input(subject, 1, 64, 64)
    degraded, clean, name = data.degraded.clone(), data.clean, data.name
    result = _prior(subject)(data)
    require(
        torch.equal(degraded, data.degraded) and torch.equal(degraded, result.degraded),
        "it changes the degraded image; a prior only adds",
    )
    require(result.clean is clean and result.name == name, "it drops or changes clean images or names")


@for_kinds("prior")
def check_deterministic(subject: Subject) -> None:
    """The same batch gives the same, whatever the random state: chance comes from ``batch.key`` alone."""
    prior = _prior(subject)
    data = _input(subject, 1, 64, 64)
    results = []
    for seed in (1, 2):
        with seeded(seed):
            results.append(_given(subject, prior, data))
    for name in results[0]:
        require(
            torch.equal(results[0][name], results[1][name]),
            f"two calls give different {name}; draw from batch.key, not from the global random state",
        )


@for_kinds("prior")
def check_independent_of_the_batch(subject: Subject) -> None:
    """A sample is given the same alone and among others, so that many processes see what one would."""
    prior = _prior(subject)
    data = _input(subject, 2, 64, 64)
    together = _given(subject, prior, data)
    alone = _given(subject, prior, pick(data, 1))
    for name, value in alone.items():
        differing = float((value != together[name][1:2]).float().mean())
        require(
            differing == 0,
            f"{name} of a sample alone and in a batch differs in {100 * differing:.2g} % of its values",
        )


@for_kinds("prior")
def check_any_size(subject: Subject) -> None:
    """Odd and tiny sizes work, or give an error of restorekit's that says what is too small."""
    prior = _prior(subject)
    for height, width in (*SIZES[1:], (11, 13), (1, 1)):
        shown = _input(subject, 1, height, width)
        found = answer_on_size(functools.partial(_given, subject, prior, shown), height, width)
        if found is None:
            continue
        for name, value in found.items():
            require(
                tuple(value.shape[-2:]) == (height, width),
                f"on {height}x{width} pixels {name} has the shape {tuple(value.shape)}",
            )
