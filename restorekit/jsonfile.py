"""The small JSON files of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from restorekit.errors import DataError


def read_table(path: Path) -> dict[str, Any]:
    """Return the values of a JSON file; none when there is no such file. Raises `DataError` when it is damaged."""
    if not path.exists():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}); move it away, and the rest of the run counts") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} is damaged (it holds no table); move it away, and the rest of the run counts")
    return values
