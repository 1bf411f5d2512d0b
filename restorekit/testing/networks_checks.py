"""Checks of what generators and discriminators have in common."""

from __future__ import annotations

import safetensors.torch
import torch
from torch import Tensor, nn

from restorekit.testing.check import CheckFailedError, Subject, for_kinds, one_line, require
from restorekit.testing.probing import Named, agree, built, run, sample
from restorekit.testing.samples import finite, seeded, tensors

_BATCH_TOLERANCE = 1e-4  # convolutions choose other kernels for other batch sizes
_STEP = 1e-2


@for_kinds("generator", "discriminator", gate=True)
@torch.no_grad()
def check_leaves_its_input_alone(subject: Subject) -> None:
    """The images that it is given are the same behind the call; its result is in memory of its own."""
    network = built(subject).eval()
    degraded = sample(subject, network)
    before = degraded.clone()
    run(subject, network, degraded)
    require(torch.equal(before, degraded), "it changes the image that it is given; do not use in-place operations")


@for_kinds("generator", "discriminator")
@torch.no_grad()
def check_gives_what_it_declares(subject: Subject) -> None:
    """The extras that it returns are those that its entry's `gives` names."""
    network = built(subject).eval()
    given = set(run(subject, network, sample(subject, network))) - {"image"}
    declared = set(subject.component.entry.gives)
    require(
        given == declared,
        f"it gives {sorted(given)} and its entry declares gives={sorted(declared)}; make them equal",
    )


@for_kinds("generator", "discriminator", gate=True)
@torch.no_grad()
def check_finite(subject: Subject) -> None:
    """Its results are finite float32 for ordinary, black and white images."""
    network = built(subject).eval()
    ordinary = sample(subject, network)
    for name, degraded in {
        "an ordinary": ordinary,
        "a black": torch.zeros_like(ordinary),
        "a white": torch.ones_like(ordinary),
    }.items():
        result = run(subject, network, degraded)
        for key, value in result.items():
            require(finite(value), f"{key!r} has values that are not finite for {name} image")
            kinds = {t.dtype for t in tensors(value)}
            require(kinds == {torch.float32}, f"{key!r} is {kinds} for float32 input; keep the input's dtype")


@for_kinds("generator", "discriminator", gate=True)
@torch.no_grad()
def check_deterministic(subject: Subject) -> None:
    """In eval mode the same input gives the same result, bit for bit, whatever the random state."""
    network = built(subject).eval()
    degraded = sample(subject, network)
    results = []
    for seed in (1, 2):
        with seeded(seed):
            results.append(run(subject, network, degraded))
    same, difference = agree(results[0], results[1], 0)
    require(
        same,
        f"two calls in eval mode differ by {difference:.2g}; switch dropout and noise off when not training"
        " (training=self.training in functional.dropout), and make layers in __init__",
    )


@for_kinds("generator", "discriminator", gate=True)
@torch.no_grad()
def check_remembers_nothing(subject: Subject) -> None:
    """In eval mode a call changes nothing: neither its state, nor what another image gives after it."""
    degraded = sample(subject, built(subject))
    used, fresh = built(subject).eval(), built(subject).eval()
    before = {name: value.clone() for name, value in used.state_dict().items()}
    run(subject, used, (0.3 * degraded).flip(-1))
    changed = [name for name, value in used.state_dict().items() if not torch.equal(value, before[name])]
    require(not changed, f"a call in eval mode changes its {_few(changed)}; let that happen in training only")
    same, difference = agree(run(subject, used, degraded), run(subject, fresh, degraded), 0)
    require(
        same,
        f"behind another image the result differs by {difference:.2g} from that of a new network; keep nothing of one"
        " image for the next",
    )


@for_kinds("generator", "discriminator")
@torch.no_grad()
def check_independent_of_the_batch(subject: Subject) -> None:
    """In eval mode an image's result does not depend on its neighbours in the batch."""
    network = built(subject).eval()
    degraded = sample(subject, network, count=3)
    together = _take(run(subject, network, degraded), 1, len(degraded))
    alone = run(subject, network, degraded[1:2])
    same, difference = agree(together, alone, _BATCH_TOLERANCE)
    require(
        same,
        f"an image alone and among others differs by {difference:.2g}; in eval mode use running statistics,"
        " not those of the batch",
    )


def _take(result: Named, index: int, count: int) -> Named:
    def one(value: Tensor) -> Tensor:
        require(
            value.ndim and value.shape[0] == count,
            f"a result of shape {tuple(value.shape)} for {count} images; keep the batch first",
        )
        return value[index : index + 1]

    return {key: tuple(map(one, v)) if isinstance(v, tuple) else one(v) for key, v in result.items()}


@for_kinds("generator", "discriminator")
def check_gradients_reach_all_parameters(subject: Subject) -> None:
    """The results depend on each trainable parameter.

    Weights are moved a little first, because a layer that starts at zero rightly hides the gradients
    behind it.
    """
    network = built(subject).train()
    degraded = sample(subject, network)
    with seeded(3):
        for parameter in network.parameters():
            parameter.data.add_(_STEP * torch.randn_like(parameter))
        result = run(subject, network, degraded)
        total = sum((t.float() * torch.randn_like(t.float())).sum() for t in tensors(result))
    require(
        isinstance(total, Tensor) and total.requires_grad,
        "the results carry no gradient; compute them by torch alone, without numpy, detach() and torch.no_grad()",
    )
    assert isinstance(total, Tensor)
    total.backward()  # type: ignore[no-untyped-call]
    trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
    missed = [n for n, p in trained.items() if p.grad is None or not bool(p.grad.any())]
    require(not missed, f"no gradient reaches {len(missed)} of {len(trained)} parameters: {_few(missed)}")
    broken = [n for n, p in trained.items() if not finite(p.grad)]
    require(not broken, f"gradients of {_few(broken)} are not finite")


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


@for_kinds("generator", "discriminator")
@torch.no_grad()
def check_works_in_bfloat16(subject: Subject) -> None:
    """Under autocast to bfloat16 it runs, and its results are finite."""
    network = built(subject).eval()
    degraded = sample(subject, network)
    try:
        with torch.autocast(degraded.device.type, dtype=torch.bfloat16):
            result = run(subject, network, degraded)
    except RuntimeError as error:
        raise CheckFailedError(
            f"under bfloat16 autocast it fails: {one_line(error)}; layers give bfloat16 there, so make new tensors of"
            " the type of what they meet (zeros_like, new_zeros), or cast by .to(other.dtype)"
        ) from error
    require(finite(result), "under bfloat16 autocast some results are not finite")


@for_kinds("generator", "discriminator")
@torch.no_grad()
def check_works_in_channels_last(subject: Subject) -> None:
    """In the channels_last memory format it gives the same numbers."""
    network = built(subject).eval()
    degraded = sample(subject, network)
    plain = run(subject, network, degraded)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,unused-ignore]
    last = run(subject, network, degraded.contiguous(memory_format=torch.channels_last))
    same, difference = agree(plain, last, _BATCH_TOLERANCE)
    require(
        same,
        f"results in channels_last differ by {difference:.2g}; use reshape or flatten where view relies on"
        " memory order",
    )


@for_kinds("generator", "discriminator")
@torch.no_grad()
def check_state_round_trips(subject: Subject) -> None:
    """Its state goes through a safetensors file into a new network, which gives the same results."""
    network = built(subject).eval()
    for parameter in network.parameters():
        parameter.add_(_STEP)
    degraded = sample(subject, network)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    try:
        data = safetensors.torch.save(state)
    except Exception as error:
        raise CheckFailedError(
            f"its state cannot be saved with safetensors; keep only tensors, none of them under two names:"
            f" {one_line(error)}"
        ) from error
    fresh = _other(subject)
    fresh.load_state_dict(safetensors.torch.load(data), strict=True)
    same, difference = agree(run(subject, network, degraded), run(subject, fresh, degraded), 0)
    require(
        same,
        f"with its state loaded a new network differs by {difference:.2g}; what decides the result must be a"
        " parameter or a registered buffer",
    )


def _other(subject: Subject) -> nn.Module:
    with seeded(99):
        network = subject.build()
    assert isinstance(network, nn.Module)
    return network.eval()
