"""The folders that a user may choose by an environment variable."""

from __future__ import annotations

import os
from pathlib import Path

from restorekit.errors import RestorekitError


def chosen_folder(variable: str) -> Path | None:
    """Return the folder that an environment variable names, ``~`` expanded; None when it is not set.

    Raises `RestorekitError` for ``~name`` of a user whom the system does not know.
    """
    given = os.environ.get(variable)
    if not given:
        return None
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise RestorekitError(f"{variable} is {given!r}: {error}; give the whole path of a folder") from error
