"""A file that says what became of each input: one JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from restorekit.errors import DataError
from restorekit.files import write_failure

if TYPE_CHECKING:
    from restorekit.restoring.planning import Job


class JobLog:
    """Appends lines with the keys input, output, status, seconds, model and reason.

    `status` is ``restored``, ``skipped`` or ``failed``; `reason` says why, or what could not be kept, or is empty.
    Several processes may write to one file: each line is one write to its end. Its folder is made where there is none,
    as that of the results is. Raises `DataError` when the file cannot be written.
    """

    def __init__(self, path: str | Path, model: str = "") -> None:
        self.path = Path(path)
        self.model = model
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise DataError(f"{path}: {write_failure(error)}") from error

    def add(self, source: Path, target: Path, status: str, seconds: float, reason: str) -> None:
        """Write the line of one file."""
        row = {
            "input": str(source),
            "output": str(target),
            "status": status,
            "seconds": round(seconds, 3),
            "model": self.model,
            "reason": reason,
        }
        try:
            os.write(self._file, (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise DataError(f"{self.path}: {write_failure(error)}") from error

    def add_skipped(self, jobs: Iterable[Job]) -> None:
        """Write the lines of files whose results are there already."""
        for job in jobs:
            if job.done:
                self.add(job.source, job.target, "skipped", 0.0, "it is there already")
