"""Watching for values that are not finite, on the device: no step waits for the host.

A step whose loss or gradient is not finite must not change the weights. The flag that masks it stays on
the device, in a small table of counters that is read only when values are logged.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.engine.step.task import Terms


@dataclass(frozen=True)
class MaskedUpdates:
    """What went wrong since the table was last read."""

    phase: str
    count: int  # masked updates, in all
    streak: int  # masked updates in a row, up to now
    step: int  # the latest step that was masked
    terms: tuple[str, ...]  # the terms that were not finite there; none means a gradient


class MaskCounters:
    """The counters of one phase."""

    def __init__(self, phase: str, terms: list[str], device: torch.device) -> None:
        self.phase = phase
        self.names = terms
        self.device = device
        self.reset()

    def reset(self) -> None:
        """Forget everything that was recorded."""
        self.table = torch.zeros(3 + len(self.names), dtype=torch.int64, device=self.device)
        self._reported = 0

    def record(self, step: int, finite: Tensor, terms_finite: Tensor) -> None:
        """Note one update: `finite` is a bool scalar, `terms_finite` [terms] bool."""
        bad = (~finite).long()
        count, streak, last = self.table[0] + bad, (self.table[1] + 1) * bad, self.table[2]
        head = torch.stack([count, streak, torch.where(finite, last, torch.full_like(last, step))])
        tail = torch.where(finite, self.table[3:], (~terms_finite).long())
        self.table = torch.cat([head, tail])

    def read(self) -> MaskedUpdates | None:
        """Return what happened since the last call, or None. Waits for the device."""
        values = self.table.tolist()
        if values[0] == self._reported:
            return None
        self._reported = values[0]
        bad = tuple(n for n, v in zip(self.names, values[3:], strict=True) if v)
        return MaskedUpdates(self.phase, values[0], values[1], values[2], bad)


def finite_terms(terms: Terms) -> Tensor:
    """Return which terms are finite, [terms] bool on their device."""
    return torch.stack([torch.isfinite(value.detach()) for _, value in terms.values()])
