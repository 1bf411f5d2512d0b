"""Lists of files to restore, and the part of a list that one of several processes restores."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from restorekit.errors import DataError

STANDARD = "-"
_Item = TypeVar("_Item")


def read_list(source: str) -> list[Path]:
    """Return the paths in a file, one a line, or in standard input for ``-``. Empty lines are passed over.

    Raises `DataError` when the list cannot be read or is empty.
    """
    try:
        data = sys.stdin.buffer.read() if source == STANDARD else Path(source).read_bytes()
    except OSError as error:
        raise DataError(f"the list {source} cannot be read ({error.strerror or error}); check its path") from error
    paths = [Path(os.fsdecode(line)) for line in data.splitlines() if line.strip()]
    if not paths:
        raise DataError(f"the list {source} names no file; give one path a line")
    return paths


def kept_name(path: Path) -> Path:
    """Return where a listed file goes below the output folder: it keeps the folders that the list names.

    ``/data/a.png`` goes to ``data/a.png``. Raises `DataError` for a path that leads upwards by ``..``.
    """
    if ".." in path.parts:
        raise DataError(f"{path}: a listed path must not lead upwards, as its folders are kept; list absolute paths")
    return path.relative_to(path.anchor) if path.is_absolute() else path


def share(items: Sequence[_Item], rank: int, count: int) -> list[_Item]:
    """Return every `count`-th item from the `rank`-th on.

    It hangs on the list alone, not on what is done already: interrupted processes take up the same part again.
    """
    return list(items[rank::count])
