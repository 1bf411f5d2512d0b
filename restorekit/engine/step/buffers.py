"""The floating-point buffers of networks (batch-norm statistics): kept finite, and equal on all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

_KINDS = (torch.float32, torch.bfloat16, torch.float16)  # float64 would lose digits in the common vector


def _floating(networks: Iterable[nn.Module]) -> list[Tensor]:
    return [b for network in networks for b in network.buffers() if b.dtype in _KINDS and b.numel()]


class Buffers:
    """All floating-point buffers of some networks as one vector.

    A forward pass with values that are not finite spoils running statistics although its update is masked,
    and every process gathers statistics of its own share. `settle` mends both, without waiting for the device.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self._parts = _floating(networks[name] for name in sorted(networks))
        self._before: Tensor | None = None

    def _flat(self) -> Tensor:
        return torch.cat([part.detach().float().flatten() for part in self._parts])

    def remember(self) -> None:
        """Keep the values as they are before a step."""
        self._before = self._flat() if self._parts else None

    @torch.no_grad()
    def settle(self, mean: Callable[[Tensor], Tensor]) -> None:
        """Put back values that are not finite any more, and take the mean over processes."""
        if self._before is None:
            return
        now = self._flat()
        self._write(mean(torch.where(torch.isfinite(now), now, self._before)))

    def _write(self, flat: Tensor) -> None:
        pieces = torch.split(flat, [part.numel() for part in self._parts])
        for part, piece in zip(self._parts, pieces, strict=True):
            part.copy_(piece.view_as(part))
