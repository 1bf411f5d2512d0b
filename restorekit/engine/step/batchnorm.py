"""Batch norm over the whole batch, whichever process holds which part of it.

``torch.nn.SyncBatchNorm`` refuses CPUs, and waits for the GPU in every layer; this one does neither. Equal shares are
assumed: a global batch that cannot be split evenly is refused before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)  # a subclass may do more than normalise
_TOGETHER = ContextVar("together", default=False)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Within, every process makes the same forward passes. Elsewhere (evaluation, replay) each norm acts alone."""
    token = _TOGETHER.set(True)
    try:
        yield
    finally:
        _TOGETHER.reset(token)


def _mean(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


class _Mean(torch.autograd.Function):
    """The mean over processes. Seen from the sum of all processes' losses, its gradient is the mean of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _mean(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _mean(gradient)


class SyncedBatchNorm(_BatchNorm):
    """A batch norm [B, C, ...] that normalises by mean and variance over all processes while they train together."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch norm needs [B, C, ...], got {input.dim()} dimension(s)")

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, input: Tensor) -> Tensor:
        """Normalise [B, C, ...] by the statistics of all processes while they train together, else by its own."""
        if not (self.training and _TOGETHER.get()):
            return super().forward(input)
        self._check_input_dim(input)
        values = input.float()
        var, mean = torch.var_mean(values, [0, *range(2, input.dim())], correction=0)
        whole_mean = _Mean.apply(mean)
        whole_var = _Mean.apply(var + (mean - whole_mean).square())
        count = input.numel() // input.shape[1] * distributed.get_world_size()
        self._follow(whole_mean.detach(), whole_var.detach() * (count / max(1, count - 1)))
        scale = (whole_var + self.eps).rsqrt()
        shape = [1, -1] + [1] * (input.dim() - 2)
        if self.weight is not None:
            scale = scale * self.weight
        normed: Tensor = (values - whole_mean.view(shape)) * scale.view(shape)
        if self.bias is not None:
            normed = normed + self.bias.view(shape)
        return normed.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics towards this batch's, `var` without bias."""
        if not self.track_running_stats or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        assert self.running_mean is not None
        assert self.running_var is not None
        # without momentum torch keeps the plain mean over batches
        share = 1 / self.num_batches_tracked if self.momentum is None else torch.full_like(mean, self.momentum)
        self.running_mean.lerp_(mean, share.to(mean.dtype))
        self.running_var.lerp_(var, share.to(var.dtype))


def synchronise(network: nn.Module) -> None:
    """Turn every batch norm of `network` into a `SyncedBatchNorm`, in place: parameters, buffers and hooks stay."""
    for module in network.modules():
        if type(module) in BATCH_NORMS:
            module.__class__ = SyncedBatchNorm
