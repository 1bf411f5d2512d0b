"""Checks of synthesizers."""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.interface import Synthesizer
from restorekit.testing.check import Subject, for_kinds, naming_no_device, require
from restorekit.testing.samples import image, seeded

_KEYS = (5, 6)
_ROUNDING = 1e-3  # of values in [0, 1]
_EDGES = 0.01  # share of values that may lie on the other side of an edge after rounding


def _degraded(
    subject: Subject, clean: Tensor, keys: tuple[int, ...], preset: str | None = None
) -> tuple[Tensor, Tensor | None]:
    synthesizer: Synthesizer = subject.build()
    return synthesizer(clean, torch.tensor(keys, device=clean.device), preset)


def _presets(subject: Subject) -> tuple[str | None, ...]:
    names = getattr(subject.build(), "presets", ())
    require(
        isinstance(names, tuple) and all(isinstance(name, str) for name in names),
        f"presets is {names!r}; give a tuple of names",
    )
    return (None, *names)


@for_kinds("synthesizer", gate=True)
def check_degrades(subject: Subject) -> None:
    """For each preset it gives degraded images like the clean ones, and a mask where its entry says so."""
    for preset in _presets(subject):
        for clean in (image(2, 40, 56), image(2, 37, 45).double()):
            with naming_no_device():
                result = _degraded(subject, clean, _KEYS, preset)
            _require_result(subject, result, clean, f"with preset {preset!r}")


def _require_result(subject: Subject, result: tuple[Tensor, Tensor | None], clean: Tensor, where: str) -> None:
    require(isinstance(result, tuple) and len(result) == 2, f"{where} it gave no pair; return (degraded, mask or None)")
    degraded, mask = result
    require(
        isinstance(degraded, Tensor) and degraded.shape == clean.shape and degraded.dtype == clean.dtype,
        f"{where} its images are not like the clean ones, {tuple(clean.shape)} {clean.dtype}; keep shape and dtype",
    )
    require(bool(((degraded >= 0) & (degraded <= 1)).all()), f"{where} its images leave [0, 1]; clamp them")
    require(not torch.equal(degraded, clean), f"{where} it changes nothing")
    declared = "mask" in subject.component.entry.gives
    require(
        (mask is not None) == declared,
        f"{where} it gives {'a' if mask is not None else 'no'} mask, and its entry says"
        f" gives={sorted(subject.component.entry.gives)}; make them agree",
    )
    if mask is not None:
        _require_mask(mask, clean, where)


def _require_mask(mask: Tensor, clean: Tensor, where: str) -> None:
    shape = (clean.shape[0], 1, *clean.shape[2:])
    require(tuple(mask.shape) == shape, f"{where} its mask is {tuple(mask.shape)}; make it {shape}")
    require(
        mask.dtype == clean.dtype and bool(((mask == 0) | (mask == 1)).all()),
        f"{where} its mask is not 0 and 1 in {clean.dtype}; make it so",
    )


@for_kinds("synthesizer", gate=True)
def check_leaves_its_input_alone(subject: Subject) -> None:
    """The clean images are the same behind the call: they are what is learned."""
    clean = image(2, 40, 56)
    before = clean.clone()
    _degraded(subject, clean, _KEYS)
    require(torch.equal(before, clean), "it changes the clean images that it is given; do not use in-place operations")


@for_kinds("synthesizer")
def check_key_decides(subject: Subject) -> None:
    """The same key gives the same, whatever the random state, and another key something else."""
    clean = image(2, 40, 56)
    results = []
    for seed, keys in ((1, _KEYS), (2, _KEYS), (2, (7, 8))):
        with seeded(seed):
            results.append(_degraded(subject, clean, keys)[0])
    require(torch.equal(results[0], results[1]), "two calls with the same keys differ; derive all chance from the keys")
    require(not torch.equal(results[1], results[2]), "other keys give the same images; derive what is random from them")


@for_kinds("synthesizer")
def check_same_in_both_precisions(subject: Subject) -> None:
    """Training degrades in float32 and `data synthesize` in float64: the same key draws the same in both."""
    clean = image(2, 40, 56)
    single, double = (_degraded(subject, clean.to(kind), _KEYS)[0].double() for kind in (torch.float32, torch.float64))
    differing = float(((single - double).abs() > _ROUNDING).double().mean())
    require(
        differing < _EDGES,
        f"in float32 and in float64 {100 * differing:.2g} % of the values differ by more than {_ROUNDING}; draw in one"
        " type (torch.rand(..., dtype=torch.float64)) and convert what was drawn",
    )


@for_kinds("synthesizer")
def check_independent_of_the_batch(subject: Subject) -> None:
    """An image is degraded the same alone and among others."""
    clean = image(2, 40, 56)
    together = _degraded(subject, clean, _KEYS)[0][1:]
    alone = _degraded(subject, clean[1:], _KEYS[1:])[0]
    difference = float((together - alone).abs().max())
    require(difference < 1e-4, f"an image alone and among others differs by {difference:.2g}; draw for each key alone")
