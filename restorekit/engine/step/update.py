"""One network's update: optimizer, gradient scaler, clipping and counters of updates that are not finite."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from timm.optim import create_optimizer_v2, get_optimizer_info
from torch import Tensor, nn

from restorekit.devices import pick_precision
from restorekit.engine.step.muon import orthogonalise_in_float32
from restorekit.engine.step.nonfinite import MaskCounters
from restorekit.errors import RecipeError
from restorekit.recipe.parts import Optim

_FUSED: dict[str, type[torch.optim.Adam] | type[torch.optim.AdamW]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


def build_optimizer(spec: Optim, parameters: Iterable[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
    """Return the optimizer that `spec` names: fused where the device has it, otherwise timm's.

    Raises `RecipeError` for a name that neither knows, and for an optimizer of second order.
    """
    kind = _FUSED.get(spec.name)
    options: dict[str, Any] = {"lr": spec.lr, "weight_decay": spec.weight_decay}
    if kind is not None:
        fused = device.type in ("cpu", "cuda")
        return kind(parameters, betas=spec.betas, fused=fused, **options)
    try:
        info = get_optimizer_info(spec.name)
        if info.second_order:
            raise RecipeError(
                f"optimizer {spec.name!r} needs second derivatives, which training does not compute; use adam, adamw,"
                " sgd or another name of first order that timm lists"
            )
        if info.num_betas == 2:
            options["betas"] = spec.betas
        if "muon" in spec.name and pick_precision("auto", device) != "bf16":
            orthogonalise_in_float32()
        optimizer = create_optimizer_v2(list(parameters), opt=spec.name, **options)
    except (ValueError, AssertionError, KeyError) as error:
        raise RecipeError(
            f"optimizer {spec.name!r} is unknown; use adam, adamw, sgd or a name that timm lists"
            " (timm.optim.list_optimizers())"
        ) from error
    assert isinstance(optimizer, torch.optim.Optimizer)
    return optimizer


class Updater:
    """Applies the gradients of one phase to the parameters of its network, and to no others."""

    def __init__(
        self, network: nn.Module, spec: Optim, counters: MaskCounters, *, clip_norm: float, fp16: bool
    ) -> None:
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.optimizer = build_optimizer(spec, self.parameters, self.device)
        self.base_rate = spec.lr
        self.clip_norm = clip_norm
        self.counters = counters
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=fp16)
        self._device_mask = bool(self.optimizer.defaults.get("fused"))

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss` to this network's parameters only."""
        scaled = self.scaler.scale(loss)
        assert isinstance(scaled, Tensor)
        scaled.backward()  # type: ignore[no-untyped-call]

    def step(self, step: int, factor: float, terms_finite: Tensor) -> Tensor:
        """Unscale, clip and apply the gradients, unless they are not finite. Returns their norm."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.base_rate * factor
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.scaler.is_enabled():
            # a term may overflow and leave finite gradients: the scaler, which sees only those, must skip too
            gradients[0].add_(torch.where(terms_finite.all(), 0.0, torch.nan))
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.get_total_norm(gradients)
        finite = torch.isfinite(norm) & terms_finite.all()
        self.counters.record(step, finite, terms_finite)
        if self.clip_norm:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.clip_norm, norm)
        self._apply(finite)
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def _apply(self, finite: Tensor) -> None:
        if self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
            self.scaler.update()
        elif self._device_mask:
            # the fused kernels leave weights and moments as they are where found_inf is set
            self.optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
            self.optimizer.grad_scale = None  # type: ignore[attr-defined]
            self.optimizer.step()
        elif bool(finite):  # without such kernels the host has to ask
            self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Return what resuming needs."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:  # that of this device, not that of the one which saved
            if "fused" in group:
                group["fused"] = self.optimizer.defaults["fused"]
        if state["scaler"]:  # empty from a run in another precision
            self.scaler.load_state_dict(state["scaler"])
