"""How far the work on one item is, and how long the rest will take."""

from __future__ import annotations

import time

from restorekit.serve.pace import progress


class Meter:
    """Written by the thread that works, read by the one that tells the visitor."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._expected: float | None = None
        self._frames: tuple[int, int | None] = (0, None)

    @property
    def elapsed(self) -> float:
        """Seconds since the work began, or since it was known how much of it there is."""
        return time.monotonic() - self._begun

    def expect(self, seconds: float) -> None:
        """Note that the work will take so long, from now on."""
        self._begun, self._expected = time.monotonic(), seconds

    def frame(self, done: int, total: int | None) -> None:
        """Note how many frames are finished, of how many, where that is known."""
        self._frames = (done, total)

    def now(self) -> tuple[float, float | None]:
        """Return the share that is done, 0 to 1, and the seconds left, None while they are not known."""
        done, total = self._frames
        if done and total:
            share = min(done / total, 1.0)
            return share, self.elapsed * (1 - share) / share
        return (0.0, None) if self._expected is None else progress(self.elapsed, self._expected)
