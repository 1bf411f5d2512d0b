"""SIGTERM ends a program in an orderly way, and within seconds whatever it is doing.

Python hears a signal between two of its own steps, so that a network's long pass or a waiting thread would put the end
off. A thread that sleeps until the signal comes ends the process when the orderly way takes too long.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType

PATIENCE = 5.0
"""Seconds that the program may take to remove what is unfinished."""
TERMINATED = 128 + 15
"""The exit code that shells expect."""
SENTENCE = "Terminated."


class Terminated(SystemExit):
    """SIGTERM has come: what is unfinished is removed on the way out. No error, so that nothing treats it as one."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


def hear_termination() -> None:
    """Let SIGTERM raise `Terminated` in the main thread, from now on. For programs, not for libraries.

    A handler that somebody sets later, as training does, goes first; where SIGTERM is ignored or handled already,
    nothing is changed, nor on Windows, which has no such signal.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    heard, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, _raise)
    os.register_at_fork(after_in_child=_forget)
    threading.Thread(target=_watch, args=(heard,), name="restorekit-termination", daemon=True).start()


def pass_on(code: int) -> None:
    """End the program by the signal that an inner run has answered with the exit code `code`; 0 is none.

    Training notes a signal and ends in order. Whoever trains on the way to something else would go on as if nobody had
    asked for the end, so the signal is sent once more, to whatever the program does with it.
    """
    if not code:
        return
    signal.raise_signal(code - 128)
    raise KeyboardInterrupt if code == 128 + signal.SIGINT else Terminated  # the host takes no notice of signals


def _raise(number: int, frame: FrameType | None) -> None:
    signal.signal(number, _ignore)  # a second one must not disturb the cleaning up
    raise Terminated


def _ignore(number: int, frame: FrameType | None) -> None:
    """Stand for SIGTERM while the program is ending already."""


def _forget() -> None:
    """A forked process has no watcher, and must not wake its parent's."""
    if signal.getsignal(signal.SIGTERM) in (_raise, _ignore):
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _watch(heard: int) -> None:
    while signals := os.read(heard, 64):
        if signal.SIGTERM in signals and signal.getsignal(signal.SIGTERM) in (_raise, _ignore):
            time.sleep(PATIENCE)
            os.write(2, f"{SENTENCE}\n".encode())
            os._exit(TERMINATED)
