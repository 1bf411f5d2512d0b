"""Calling networks on small inputs, and finding the sizes that they accept."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from restorekit.interface import Judgement, Output, SizeRule
from restorekit.testing.check import CheckFailedError, Subject, one_line, require
from restorekit.testing.samples import SIZES, batch, seeded, tensors

Named = dict[str, Tensor | tuple[Tensor, ...]]
"""The results of a network by name."""

Network = Callable[[Tensor], Named]


def built(subject: Subject) -> nn.Module:
    """Build a network with fixed weights. Raises `CheckFailedError` when it is not a module."""
    with seeded():
        network = subject.build()
    require(isinstance(network, nn.Module), f"it is a {type(network).__name__}; it must be a torch.nn.Module")
    assert isinstance(network, nn.Module)
    return network


def run(subject: Subject, network: nn.Module, degraded: Tensor) -> Named:
    """Call a generator or discriminator; return its result as name -> tensor or tuple of tensors."""
    if subject.kind == "generator":
        output = network(degraded)
        require(
            isinstance(output, Output | Tensor),
            f"forward returned a {type(output).__name__}; return an Output or the image tensor",
        )
        output = Output.of(output)
        return {"image": output.image, **_extras(output.extras)}
    judgement = network(degraded.flip(-1).contiguous(), degraded)
    require(
        isinstance(judgement, Judgement),
        f"forward returned a {type(judgement).__name__}; return Judgement(logits, extras)",
    )
    return {"logits": judgement.logits, **_extras(judgement.extras)}


def _extras(extras: Mapping[str, Tensor | tuple[Tensor, ...]]) -> Named:
    for name, value in extras.items():
        parts = value if isinstance(value, tuple) else (value,)
        require(
            parts and all(isinstance(part, Tensor) for part in parts),
            f"extra {name!r} is a {type(value).__name__}; give a tensor or a tuple of tensors",
        )
    return dict(extras)


def sample(subject: Subject, network: nn.Module, count: int = 2) -> Tensor:
    """Return degraded images [count, 3, S, S] of a small size that the network accepts."""
    problem: Exception | None = None
    for side in _sides(subject, network):
        degraded = batch(count, side, side).degraded
        problem = _problem(subject, network, degraded)
        if problem is None:
            return degraded
    raise _unfit(_sides(subject, network), problem) from problem


def _sides(subject: Subject, network: nn.Module) -> tuple[int, ...]:
    return (SizeRule.of(network).padded(64),) if subject.kind == "generator" else (64, 128, 256)


def _unfit(sides: tuple[int, ...], problem: Exception | None) -> CheckFailedError:
    shown = " and ".join(map(str, sides))
    reason = one_line(problem) if problem else "no size is allowed"
    return CheckFailedError(f"it fails on images of {shown} pixels square: {reason}")


def running_problem(subject: Subject, network: nn.Module) -> Exception | None:
    """Return why the network fails on images of ordinary sizes, or None; a wrong device is raised at once."""
    sides = _sides(subject, network)
    problem: Exception | None = None
    for side in sides:
        problem = _problem(subject, network, batch(2, side, side).degraded)
        if problem is None:
            return None
        if re.search("CUDA|NVIDIA", str(problem)):
            raise problem
    return _unfit(sides, problem)


def _problem(subject: Subject, network: nn.Module, degraded: Tensor) -> Exception | None:
    """Return what the network raises, or an error that says that its image has another shape."""
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            result = run(subject, network, degraded)
    except Exception as error:  # any failure means: not this size
        return error
    finally:
        network.train(training)
    logits = result.get("logits")
    if isinstance(logits, Tensor) and (not logits.ndim or len(logits) != len(degraded)):
        return CheckFailedError(
            f"logits have the shape {tuple(logits.shape)} for {len(degraded)} images; keep the batch first"
        )
    image = result.get("image")
    if isinstance(image, Tensor) and image.shape != degraded.shape:
        shapes = f"{tuple(degraded.shape)} came in and {tuple(image.shape)} went out"
        return CheckFailedError(shapes)
    return None


def size_problem(subject: Subject, network: nn.Module, height: int, width: int) -> Exception | None:
    """Return why a generator does not keep images of this size, or None."""
    return _problem(subject, network, batch(1, height, width).degraded)


def suggested_rule(subject: Subject, network: nn.Module) -> SizeRule | None:
    """Return the loosest `SizeRule` with a power of two under which the generator works, found by trying.

    Pictures that are not square are among what is tried, whatever the multiple.
    """
    for multiple in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        rule = SizeRule(multiple)
        sizes = [(rule.padded(h), rule.padded(w)) for h, w in SIZES]
        sizes.append((sizes[0][0], sizes[0][1] + multiple))
        if any(size_problem(subject, network, height, width) for height, width in sizes):
            continue
        for times in range(1, 1 + max(1, 64 // multiple)):
            side = times * multiple
            if size_problem(subject, network, side, side) is None:
                return SizeRule(multiple, side)
    return None


def agree(
    one: Mapping[str, Tensor | tuple[Tensor, ...]], other: Mapping[str, Tensor | tuple[Tensor, ...]], tolerance: float
) -> tuple[bool, float]:
    """Say whether two results agree within `tolerance` of the largest value, and by how much they differ."""
    largest = 0.0
    for a, b in zip(tensors(dict(one)), tensors(dict(other)), strict=True):
        scale = max(1.0, float(a.abs().max()))
        largest = max(largest, float((a.float() - b.float()).abs().max()) / scale)
    return largest <= tolerance, largest
