"""The restorer that a command line names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from restorekit.errors import RestorekitError
from restorekit.processes import place_on_machine

if TYPE_CHECKING:
    from restorekit.restoring.restorer import BaseRestorer

EXPORTED = ".onnx"


def chosen_restorer(
    model: str | None,
    backend: str,
    budget_steps: int | None,
    budget_seconds: float | None,
    **settings: Any,
) -> BaseRestorer:
    """Load the chosen model, or the default of those with weights, or an exported file.

    `backend`: ``torch``, ``onnx``, or ``auto`` for what the model is. Raises `RestorekitError` for options that an
    exported file has no use for, and what `restorekit.load` raises.
    """
    import restorekit
    from restorekit.restoring.memory import keep_freed_memory
    from restorekit.restoring.settings import Budget

    keep_freed_memory()
    exported = bool(model) and str(model).lower().endswith(EXPORTED)
    budget = Budget(budget_steps, budget_seconds)
    if backend == "onnx" or (backend == "auto" and exported):
        return _exported(model, exported, budget, **settings)
    if exported:
        raise RestorekitError(f"{model} is an exported file, which the backend torch cannot run; leave --backend out")
    if model is None:
        from restorekit.plugin.registry import registry
        from restorekit.weights import default_model

        model, why = default_model(registry())
        click.echo(f"no model named: taking {model}, {why}", err=True)
    return restorekit.load(model, budget=budget, **settings | {"device": _own_device(settings["device"])})


def _own_device(device: str) -> str:
    """Return the GPU of this process where several were launched on one machine and none is named."""
    import torch

    local = place_on_machine()
    return f"cuda:{local}" if device == "auto" and local and torch.cuda.is_available() else device


def _exported(
    model: str | None, exported: bool, budget: object, weights: str | None, precision: str, **settings: Any
) -> BaseRestorer:
    from restorekit.export.backend import OnnxBackend

    if model is None or not exported:
        name = model or "MODEL"
        raise RestorekitError(
            f"the backend onnx runs exported files; write one with `restorekit export {name} -o {name}.onnx` and give"
            f" --model {name}.onnx"
        )
    for given, option in ((weights, "--weights"), (budget, "--budget-*")):
        if given:
            raise RestorekitError(f"{model} is an exported file and has its own weights; leave {option} out")
    if precision != "auto":
        raise RestorekitError(
            f"{model} computes in the precision that it was exported in; leave --precision out, or export it again"
        )
    return OnnxBackend(model, **settings)
