"""The one way to warn: the logger ``restorekit``, which a program may take over as any other.

Under a launcher the first process alone is heard. Without a handler, Python itself puts the bare text on the error
stream; the programs show it as ``Warning: ...`` by `on_terminal`. What a command answers, or notes of a file, is no
warning: the command prints it.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from functools import cache

from restorekit.processes import is_first_process

LOGGER = logging.getLogger("restorekit")
LOGGER.addFilter(lambda record: is_first_process())


def notice(text: str) -> None:
    """Warn of something that the user should know, and that stops nothing."""
    LOGGER.warning("%s", text)


def tell(text: str) -> None:
    """Say what is worth knowing and no warning: programs show it, elsewhere the logger's level decides."""
    LOGGER.info("%s", text)


@cache
def notice_once(text: str) -> None:
    """Warn the first time that this process has it."""
    notice(text)


class _Terminal(logging.Handler):
    """Writes ``Warning: text`` to the error stream as it is at that moment: a progress bar may stand in for it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; characters that the stream cannot show are escaped."""
        try:
            kind = f"{record.levelname.capitalize()}: " if record.levelno > logging.INFO else ""
            say(kind + record.getMessage())
        except Exception:
            self.handleError(record)


def say(text: str) -> None:
    """Write a line to the error stream, whatever is in it."""
    if sys.stderr is None:  # a program without a console
        return
    encoding = sys.stderr.encoding or "utf-8"
    sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stderr.flush()


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Drop warnings, where what they tell comes out in another way."""
    before, LOGGER.disabled = LOGGER.disabled, True
    try:
        yield
    finally:
        LOGGER.disabled = before


@contextlib.contextmanager
def on_terminal() -> Iterator[None]:
    """Show warnings as the programs do, and to no other handler: a library may have put one of its own on the root."""
    if any(isinstance(handler, _Terminal) for handler in LOGGER.handlers):
        yield
        return
    handler, propagate, level = _Terminal(), LOGGER.propagate, LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.propagate = propagate
        LOGGER.setLevel(level)
