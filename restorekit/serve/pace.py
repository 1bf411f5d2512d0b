"""How long an image will take: learned from those before it."""

from __future__ import annotations

import threading

_FIRST = 3.0  # seconds per megapixel before anything was measured: a small network on a laptop


class Pace:
    """Seconds per megapixel of each model. Safe to use from several threads."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    def expected(self, model: str, megapixels: float) -> float:
        """Return how many seconds an image is expected to take."""
        return self._seconds.get(model, _FIRST) * megapixels

    def learn(self, model: str, megapixels: float, seconds: float) -> None:
        """Take a finished image into account: half of what is known, so that a busy machine is noticed."""
        measured = seconds / max(megapixels, 1e-3)
        with self._lock:
            before = self._seconds.get(model)
            self._seconds[model] = measured if before is None else (before + measured) / 2


def progress(elapsed: float, expected: float) -> tuple[float, float]:
    """Return the share that is done, below 1, and the seconds left; both stay plausible when it takes longer."""
    if elapsed < 0.8 * expected:
        return elapsed / expected, expected - elapsed
    late = elapsed / max(expected, 1e-6) - 0.8
    share = 0.8 + 0.2 * late / (late + 0.4)
    return share, elapsed * (1 - share) / share
