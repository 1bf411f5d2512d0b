"""How much a visitor may ask of the machine."""

from __future__ import annotations

from dataclasses import dataclass

from restorekit.errors import RestorekitError


@dataclass(frozen=True)
class Limits:
    """The limits of a server. Raises `RestorekitError` for a value that is not positive."""

    megabytes: float = 200
    """The largest upload."""
    jobs: int = 1
    """How many files are restored at once."""
    queue: int = 100
    """How many files may wait."""
    minutes: float = 60
    """How long a file and its result are kept after they were last looked at.

    They also go when the visitor removes them and when the server ends.
    """
    files: int = 500
    """How many files one session may hold."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise RestorekitError(f"limit {name} is {value}; give a positive number")

    @property
    def bytes(self) -> int:
        """The largest upload in bytes."""
        return int(self.megabytes * 1_000_000)
