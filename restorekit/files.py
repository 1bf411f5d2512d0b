"""Writing files: filled beside its place, synced, then renamed; a file is there whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from restorekit.errors import DataError, RestorekitError
from restorekit.leftovers import hold

_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space and run again, finished files are kept",
    errno.EDQUOT: "your disk quota is used up; free some space and run again, finished files are kept",
    errno.EACCES: "no permission to write there; choose another output folder",
    errno.EPERM: "no permission to write there; choose another output folder",
    errno.EROFS: "the disk can only be read; choose another output folder",
    errno.ENOENT: "its folder does not exist; make it first",
    errno.ENOTDIR: "part of its path is a file; choose another output folder",
    errno.EEXIST: "part of its path is a file; choose another output folder",
    errno.EISDIR: "there is a folder of that name; choose another name",
    errno.ENAMETOOLONG: "the name is too long; shorten it",
}


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill `path` through a file that is open for reading and writing.

    On any failure, Ctrl-C too, what was there before stays, and nothing else is left. Raises `OSError`, and what
    `write` raises.
    """
    with _beside(path) as (beside, file):
        write(file)
        file.flush()
        os.fsync(file.fileno())
        file.close()  # some systems rename no file that is open
        beside.replace(path)


def write_by_name(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill `path` through the name of a file beside it. Otherwise as `write_file`."""
    with _beside(path) as (beside, file):
        write(beside)
        file.close()
        finish(beside, path)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8. Otherwise as `write_file`."""
    write_file(path, lambda file: file.write(text.encode("utf-8")))


def finish(beside: Path, path: Path) -> None:
    """Bring a filled file to the disk, then give it its name. Raises `OSError`."""
    with beside.open("r+b") as file:
        os.fsync(file.fileno())
    beside.replace(path)


@contextmanager
def _beside(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Give a new file beside `path`, marked as being written, that is gone at the end unless it was renamed."""
    beside = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")  # a name may be as long as names can be
    try:
        with beside.open("x+b") as file:
            hold(file)
            yield beside, file
    finally:
        with suppress(OSError):  # a folder that cannot be written holds no leftovers either
            beside.unlink(missing_ok=True)


@contextmanager
def explained(path: Path, kind: type[RestorekitError] = DataError) -> Iterator[None]:
    """Turn an `OSError` into an error of `kind` that names `path`, says why, and what to do."""
    try:
        yield
    except OSError as error:
        raise kind(f"{path}: {write_failure(error)}") from error


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there. Raises `DataError` when that cannot be."""
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)


def write_failure(error: OSError) -> str:
    """Say in words why the operating system refused to write, and what to do."""
    return _REMEDIES.get(error.errno or 0, f"cannot be written ({error}); choose another output folder")


def is_fatal(error: RestorekitError | OSError) -> bool:
    """Tell whether no later file of the same folder can be written either: disk full or read-only."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
