"""Constants must follow the network to its device: tried on torch's device without memory, which every machine has."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from restorekit.testing.check import CheckFailedError, Subject, for_kinds
from restorekit.testing.loss_inputs import loss_cases, needs_networks
from restorekit.testing.probing import built, sample

_COPIES = ("aten::_to_copy", "aten::copy_")


class _OneDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses operations between tensors of two devices, which some kernels let pass; single numbers may differ."""

    def __torch_dispatch__(
        self,
        func: OpOverload[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        name = str(func.name())  # type: ignore[no-untyped-call]
        given = [t for t in tree_leaves((args, kwargs or {})) if isinstance(t, Tensor) and t.dim()]
        if len({t.device for t in given}) > 1 and name.partition(".")[0] not in _COPIES:
            raise CheckFailedError(
                f"in {name} it mixes tensors of two devices: a constant that it makes stays on the CPU. Make it"
                " a buffer (register_buffer), or create it with device= of the tensor that it meets"
            )
        return func(*args, **(kwargs or {}))


def _try(call: Callable[[], object]) -> None:
    """Call it under the rule of one device; what fails for other reasons (it reads values, as item() does) passes."""
    try:
        with _OneDevice():  # type: ignore[no-untyped-call]
            call()
    except CheckFailedError:
        raise
    except Exception:
        return


@for_kinds("generator", "discriminator")
@torch.no_grad()
def check_constants_follow_its_device(subject: Subject) -> None:
    """All that forward computes with is on the device of the network and of its images."""
    network = built(subject).eval()
    degraded = sample(subject, network).to("meta")
    network.to("meta")
    arguments = (degraded,) if subject.kind == "generator" else (degraded, degraded)
    _try(lambda: network(*arguments))


@for_kinds("loss")
@torch.no_grad()
def check_loss_follows_its_device(subject: Subject) -> None:
    """All that it computes with is on the device of what it sees."""
    if needs_networks(subject):
        return  # those networks' own checks say so
    loss = subject.build()
    if isinstance(loss, nn.Module):
        loss.to("meta")
    for case in loss_cases(subject):
        _try(functools.partial(loss, _moved(case.seen)))


def _moved(value: Any) -> Any:
    """Return what a loss sees with every tensor on the device without memory."""
    if isinstance(value, Tensor):
        return value.to("meta")
    if isinstance(value, tuple):
        return tuple(_moved(item) for item in value)
    if isinstance(value, dict):
        return {key: _moved(item) for key, item in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return type(value)(**{name: _moved(getattr(value, name)) for name in value.__dataclass_fields__})
    return value
