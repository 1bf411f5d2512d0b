"""Running a plugin's code so that whatever it raises or prints stays its own affair."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from restorekit.termination import Terminated


@dataclass
class Told:
    """What became of a plugin's code: `error` is None when all went well."""

    error: BaseException | None = None
    trace: str = ""

    @property
    def line(self) -> str:
        """The error in one line."""
        return f"{type(self.error).__name__}: {_text(self.error)}"


def _text(error: BaseException | None) -> str:
    try:
        return " ".join(str(error).split()) or "no message"
    except Exception:  # an exception whose own text fails
        return "no message"


@contextlib.contextmanager
def foreign_code() -> Iterator[Told]:
    """Run a block; what it raises, whatever its class, is kept in what is returned, and what it prints goes to stderr.

    A Ctrl-C of the user goes on, told from a ``KeyboardInterrupt`` that the code itself raises, and so does SIGTERM.
    """
    told = Told()
    with _place_kept(), _noting_interrupts() as interrupted, _output_aside():
        try:
            yield told
        except Terminated:
            raise
        except BaseException as error:
            if interrupted:
                raise
            told.error, told.trace = error, traceback.format_exc()


@contextlib.contextmanager
def _place_kept() -> Iterator[None]:
    """Undo what would turn the user's paths into others, SIGTERM into nothing, and files into ones that others read.

    The environment stays as it is left: libraries set their own there when they are imported, and rely on it.
    """
    main = threading.current_thread() is threading.main_thread()  # only there signals are handled
    handler = signal.getsignal(signal.SIGTERM)
    mask = _file_mask()
    folder = None
    with contextlib.suppress(OSError):  # the folder has been deleted
        folder = Path.cwd()
    try:
        yield
    finally:
        if main and handler is not None and signal.getsignal(signal.SIGTERM) is not handler:
            signal.signal(signal.SIGTERM, handler)
        os.umask(mask)
        if folder is not None:
            with contextlib.suppress(OSError):
                os.chdir(folder)


def _file_mask() -> int:
    """Return which permissions new files do not get; the system tells by changing it only."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def _noting_interrupts() -> Iterator[list[int]]:
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only there signals are handled
        yield seen
        return

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # ignored, or handled by a program that uses this as a library
        yield seen
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _output_aside() -> Iterator[None]:
    """Send standard output to standard error, also what is written past Python: it would spoil ``--json``."""
    with contextlib.redirect_stdout(sys.stderr):
        try:
            kept = os.dup(1)
        except OSError:  # there is no standard output that could be spoiled
            yield
            return
        try:
            with contextlib.suppress(OSError):  # there is no standard error to send it to
                os.dup2(2, 1)
            yield
        finally:
            if sys.__stdout__ is not None:
                sys.__stdout__.flush()
            os.dup2(kept, 1)
            os.close(kept)
