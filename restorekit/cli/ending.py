"""How the program ends when something of the system fails: one sentence, and the traceback in a file."""

from __future__ import annotations

import errno
import io
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import click

from restorekit.errors import RestorekitError
from restorekit.notices import say
from restorekit.outofmemory import is_out_of_memory
from restorekit.termination import SENTENCE, Terminated

INTERRUPTED = 130
_FAULTS = (OSError, RecursionError, MemoryError)


def _places() -> Iterator[Path]:
    """Yield the folders for the log, the usual one first."""
    from platformdirs import user_log_path

    yield user_log_path("restorekit", appauthor=False)
    yield Path(tempfile.gettempdir())


def _log(error: BaseException) -> str:
    """Write the traceback to a file; return where it is, in words."""
    text = "".join(traceback.format_exception(error))
    name = f"restorekit-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    for place in _places():
        try:
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError:  # the next place, and at the end the sentence says that there is none
            continue
        return f"the traceback is in {place / name}"
    return "no file for the traceback could be written"


def _sentence(error: BaseException) -> str:
    """Say what happened and what to do."""
    if is_out_of_memory(error):
        return "memory ran out; close other programs, or choose smaller images, tiles or batches"
    if isinstance(error, RecursionError):
        return "something is nested too deeply to be read; look at what was given last"
    assert isinstance(error, OSError)
    names = [os.fsdecode(n) for n in (error.filename, error.filename2) if isinstance(n, str | bytes)]
    reason = error.strerror or str(error) or type(error).__name__
    remedies = {
        errno.ENOSPC: "free some space",
        errno.EDQUOT: "free some space",
        errno.EACCES: "change its permissions, or choose another place",
        errno.EPERM: "change its permissions, or choose another place",
        errno.EROFS: "choose another place",
        errno.ENAMETOOLONG: "choose a shorter name",
        errno.ELOOP: "remove the link that leads to itself",
        errno.EMFILE: "let the program open more files (ulimit -n)",
    }
    what = " -> ".join(names) or "input or output"
    if len(what) > 300:
        what = f"{what[:150]}…{what[-100:]}"
    remedy = remedies.get(error.errno or 0)
    return f"{what}: {reason}" + (f"; {remedy}" if remedy else "")


def _silence() -> None:
    """Keep Python from reporting once more, at its end, that standard output cannot be written."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
    finally:
        os.close(nowhere)


def _fail(error: BaseException) -> NoReturn:
    if isinstance(error, BrokenPipeError):  # whoever read the output has gone: `restorekit models | head`
        _silence()
        sys.exit(1)
    say(f"Error: {_sentence(error)} ({_log(error)})")
    if isinstance(error, OSError):
        _silence()
    sys.exit(1)


def _code(run: Callable[[], object]) -> object:
    try:
        return run()
    except Terminated as end:
        say(SENTENCE)
        return end.code
    except SystemExit as end:
        return end.code


def guarded(run: Callable[[], object]) -> NoReturn:
    """Run the program and leave with its exit code: 130 after Ctrl-C, 1 after an error, one sentence for each."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold what no encoding can write
    try:
        code = _code(run)
        sys.stdout.flush()
    except click.exceptions.Abort as error:
        interrupted = isinstance(error.__cause__ or error.__context__, KeyboardInterrupt)
        say("Interrupted." if interrupted else "Aborted.")
        sys.exit(INTERRUPTED if interrupted else 1)
    except KeyboardInterrupt:
        say("Interrupted.")
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except RestorekitError as error:
        say(f"Error: {error}")
        sys.exit(1)
    except _FAULTS as error:
        _fail(error)
    except RuntimeError as error:  # torch says so of a lack of memory
        if not is_out_of_memory(error):
            raise
        _fail(error)
    sys.exit(code if isinstance(code, int | str) else 0)
