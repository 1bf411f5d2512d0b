"""How much a visitor may ask of the machine."""

from __future__ import annotations

from dataclasses import dataclass

from restorekit.errors import RestorekitError


@dataclass(frozen=True)
class Limits:
    """`megabytes`: largest upload. `jobs`: how many files are restored at once. `queue`: how many may wait.

    `minutes`: how long a file and its result are kept after they were last looked at; they also go when the visitor
    removes them and when the server ends. `files`: how many one session may hold.
    Raises `RestorekitError` for a value that is not positive.
    """

    megabytes: float = 200
    jobs: int = 1
    queue: int = 100
    minutes: float = 60
    files: int = 500

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise RestorekitError(f"limit {name} is {value}; give a positive number")

    @property
    def bytes(self) -> int:
        """The largest upload in bytes."""
        return int(self.megabytes * 1_000_000)
