"""Which module was the first to give a value that is not finite? Found by replaying the step."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from restorekit.engine.step.engine import Engine
from restorekit.engine.step.task import TaskPhase
from restorekit.interface import Batch


def _tensors(value: object) -> Iterator[Tensor]:
    """Yield every tensor in nested tuples, tables and results."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        value = tuple(value.values())
    elif is_dataclass(value):
        value = tuple(getattr(value, f.name) for f in fields(value))
    if isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def _finite(value: object) -> bool:
    return all(bool(torch.isfinite(t).all()) for t in _tensors(value) if t.is_floating_point())


class _Watch:
    """Hooks on every module and parameter; `found` says where the first value that is not finite arose."""

    def __init__(self) -> None:
        self.found = ""
        self._handles: list[RemovableHandle] = []

    def module(self, name: str, module: nn.Module) -> None:
        for path, part in module.named_modules():
            full = f"{name}.{path}" if path else name
            hook = self._hook(f"{full} ({type(part).__name__})")
            self._handles.append(part.register_forward_hook(hook))
        for path, parameter in module.named_parameters():
            note = self._gradient_hook(f"{name}.{path}")
            if parameter.requires_grad:
                handle = parameter.register_post_accumulate_grad_hook(note)  # type: ignore[no-untyped-call]
                self._handles.append(handle)

    def _hook(self, where: str) -> Callable[[nn.Module, object, object], None]:
        def look(part: nn.Module, inputs: object, output: object) -> None:
            if not self.found and not _finite(output):
                self.found = f"the first value that is not finite comes out of {where}"

        return look

    def _gradient_hook(self, where: str) -> Callable[[Tensor], None]:
        def look(parameter: Tensor) -> None:
            if not self.found and parameter.grad is not None and not _finite(parameter.grad):
                self.found = f"the values are finite; the first gradient that is not is that of {where}"

        return look

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()


def _run(engine: Engine, phase: TaskPhase, micro: Batch) -> Tensor:
    """Return the loss of one micro-batch, computed on the bare networks."""
    networks = engine.task.networks
    with engine.runtime.autocast():
        with torch.set_grad_enabled(phase.trains == "generator"):
            output = engine.task.forward(networks, micro)
        terms, _ = engine.task.terms(phase.name, networks, micro, output)
    return torch.stack([weight * value for weight, value in terms.values()]).sum()


@contextlib.contextmanager
def _untouched(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Put every buffer back afterwards, counters of batches too."""
    kept = [(buffer, buffer.clone()) for network in networks for buffer in network.buffers()]
    try:
        yield
    finally:
        for buffer, value in kept:
            buffer.copy_(value)


def find_culprit(engine: Engine, phase_name: str, step: int, batch: Batch) -> str:
    """Replay `phase_name` of `step` on `batch`; return a clause that names the culprit, or "".

    Weights, statistics and gradients are left as they were. The weights are today's, which after a masked
    update are those of the step itself unless later updates went through.
    """
    phase = next(p for p in engine.task.phases if p.name == phase_name)
    watch = _Watch()
    engine.learning.only(phase.trains)
    for name, network in engine.task.networks.items():
        watch.module(name, network)
    for name, (_, loss) in engine.task.losses[phase.name].items():
        if isinstance(loss, nn.Module):
            watch.module(f"loss {name!r}", loss)
    eager = torch.compiler.set_stance("force_eager") if engine.compiled else contextlib.nullcontext()
    try:
        with eager, _untouched(engine.task.networks.values()):
            for micro in engine.prepare(step, batch):
                total = _run(engine, phase, micro)
                if not watch.found:
                    engine.updaters[phase.name].backward(total)
    finally:
        watch.close()
        engine.task.networks[phase.trains].zero_grad(set_to_none=True)
    return watch.found
