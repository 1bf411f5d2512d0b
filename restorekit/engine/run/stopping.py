"""Ctrl-C and SIGTERM: finish the step, save, and leave with the conventional exit code."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

APART = 1.0  # seconds: a launcher may pass on the Ctrl-C that the terminal has sent already


class StopRequest:
    """While active, notes the first SIGINT or SIGTERM; a second SIGINT, a second later, interrupts at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._when = 0.0
        self._previous: dict[int, object] = {}

    @property
    def asked(self) -> bool:
        """Whether this process has been asked to stop."""
        return self.signal is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.signal is None:
            self.signal, self._when = number, now
        elif number == signal.SIGINT and now - self._when > APART:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
