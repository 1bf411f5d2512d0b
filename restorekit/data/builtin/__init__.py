"""Photographs that ship with the package, for tests and for the built-in benchmark. Imports no torch.

Public domain or CC0; see ``photos/ATTRIBUTION.md``. They are for testing only: no weights that ship are
trained on them.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from restorekit.errors import DataError


def photos() -> tuple[Path, ...]:
    """Return the paths of the photographs (JPEG, RGB), sorted by name.

    Raises `DataError` when they are missing.
    """
    folder = resources.files(__name__) / "photos"
    if not isinstance(folder, Path):
        raise DataError(
            f"The built-in photographs are inside an archive ({folder}); restorekit must be installed as "
            "files. Install it with pip."
        )
    found = tuple(sorted(folder.glob("*.jpg")))
    if not found:
        raise DataError(
            f"The built-in photographs are missing from {folder}; the installation is incomplete. "
            "Install restorekit again."
        )
    return found
