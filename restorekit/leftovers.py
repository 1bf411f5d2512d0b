"""What a killed process left behind: unfinished files and folders, told from those that somebody still writes.

Whoever writes holds a lock, which the operating system takes back when the process ends, however that happens.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

_UNFINISHED = re.compile(r"\..*\.[0-9a-f]{8}\.part")
_LOCK = "lock"
_FRESH = 10.0  # seconds in which a file may be there and its lock not yet


def hold(file: BinaryIO) -> None:
    """Mark an open file as being written, until it is closed. Where locks are missing it counts as held while open."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove_stale(folder: Path) -> None:
    """Remove the unfinished files in a folder that nobody writes any more."""
    with contextlib.suppress(OSError):  # a folder that is not there, or that may only be read
        for path in folder.iterdir():
            if _UNFINISHED.fullmatch(path.name) and path.is_file() and _is_old(path) and not _is_held(path):
                path.unlink(missing_ok=True)


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > _FRESH


def _is_own(path: Path) -> bool:
    """Return whether it is this user's: in a shared folder for temporary files, others may have put links inside."""
    return sys.platform == "win32" or path.stat().st_uid == os.getuid()


def _is_held(path: Path) -> bool:
    if sys.platform == "win32":
        return False  # a file that is open cannot be removed there
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Mark a folder as being written, while the context lasts; the mark is gone afterwards."""
    from filelock import FileLock

    with FileLock(folder / _LOCK):
        yield
    (folder / _LOCK).unlink(missing_ok=True)


@contextmanager
def temporary(kind: str) -> Iterator[Path]:
    """Give a folder for temporary files, which is removed afterwards.

    Before, those of the same kind are removed whose process was killed.
    """
    for lock in Path(tempfile.gettempdir()).glob(f"restorekit-{kind}-*/{_LOCK}"):
        _remove_if_stale(lock.parent)
    with (
        tempfile.TemporaryDirectory(prefix=f"restorekit-{kind}-", ignore_cleanup_errors=True) as name,
        held(Path(name)),
    ):
        yield Path(name)


def remove_stale_folders(parent: Path, pattern: str) -> None:
    """Remove the folders in `parent` that `held` marked and that nobody writes any more."""
    for folder in sorted(parent.glob(pattern)):
        _remove_if_stale(folder)


def _remove_if_stale(folder: Path) -> None:
    from filelock import FileLock, Timeout

    with contextlib.suppress(Timeout, OSError):  # somebody holds it, or removes it just now
        if not folder.is_dir() or folder.is_symlink() or not _is_own(folder) or not _is_old(folder):
            return
        with FileLock(folder / _LOCK, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
