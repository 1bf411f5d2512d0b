"""``--profile``: a trace of a few steps, and a one-screen summary of where the time goes."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

FIRST, STEPS = 3, 5  # steps of this session: the first few warm caches up
ROWS = 12


class Profiler:
    """Traces steps `FIRST` to `FIRST + STEPS` of a session; does nothing afterwards.

    `path` gets a Chrome trace (chrome://tracing, ui.perfetto.dev).
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path = path
        self.cuda = device.type == "cuda"
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * self.cuda
        self._trace = profile(activities=activities)
        self._count = 0
        self._waited = self._started = self._total = 0.0

    def after_step(self, waited: float) -> None:
        """Count one step, which `waited` so many seconds for its batch."""
        self._count += 1
        if self._count == FIRST:
            self._trace.start()
            self._started = time.monotonic()
        elif FIRST < self._count <= FIRST + STEPS:
            self._waited += waited
            if self._count == FIRST + STEPS:
                self._finish()

    def _finish(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()
        self._total = time.monotonic() - self._started
        self._trace.stop()
        self._trace.export_chrome_trace(str(self.path))

    def close(self) -> None:
        """Stop a trace that the session ended in: one that still runs crashes the process when that exits."""
        if self._started and not self._total:
            self._trace.stop()

    def report(self) -> str:
        """Return the summary, or why there is none."""
        if not self._total:
            return f"no profile: it needs {FIRST + STEPS} steps, and {self._count} were made"
        key = "self_device_time_total" if self.cuda else "self_cpu_time_total"
        rows = sorted(self._trace.key_averages(), key=lambda row: -float(getattr(row, key)))
        spent = sum(float(getattr(row, key)) for row in rows) or 1.0
        lines = [
            f"profile of {STEPS} steps, {1000 * self._total / STEPS:.1f} ms each;"
            f" {100 * self._waited / self._total:.0f} % of it waiting for data; trace: {self.path}",
            f"{'on the GPU' if self.cuda else 'on the CPU':44} {'share':>6} {'ms/step':>9} {'calls/step':>10}",
        ]
        for row in rows[:ROWS]:
            own = float(getattr(row, key))
            lines.append(
                f"{row.key[:44]:44} {100 * own / spent:5.1f}% {own / 1000 / STEPS:9.2f} {row.count / STEPS:10.1f}"
            )
        return "\n".join(lines)
