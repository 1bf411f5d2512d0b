"""Folders with all that is below them, through links, without running in circles."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from restorekit.errors import DataError

Identity = tuple[int, int]
Entry = tuple[Path, list[str], list[str]]


def walk(root: Path, on_loop: Callable[[Path], None] = lambda path: None) -> Iterator[Entry]:
    """Yield (folder, names of folders, names of files) for `root` and every folder below, sorted, links followed.

    The caller may take names out of the list of folders, as with `os.walk`. A folder that is reached inside of itself
    is not entered again; `on_loop` is told. Raises `DataError` for a folder that cannot be read.
    """

    def failed(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); change its permissions, or leave it out")

    above: dict[str, frozenset[Identity]] = {str(root): frozenset(_identities(root))}
    for parent, folders, names in os.walk(root, onerror=failed, followlinks=True):
        here, chain = Path(parent), above.pop(parent)
        inner = []
        for name in sorted(folders):
            own = _identities(here / name)
            if chain.isdisjoint(own):
                inner.append(name)
                above[os.path.join(parent, name)] = chain | own  # noqa: PTH118 - as os.walk spells it
            else:
                on_loop(here / name)
        folders[:] = inner
        yield here, folders, sorted(names)


def _identities(folder: Path) -> set[Identity]:
    """What tells a folder from all others; nothing when it has just gone, which `os.walk` then reports."""
    try:
        state = folder.stat()
    except OSError:
        return set()
    return {(state.st_dev, state.st_ino)}
