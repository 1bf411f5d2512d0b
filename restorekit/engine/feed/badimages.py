"""Images that cannot be read in the middle of a run: an end with a message, or left out and counted."""

from __future__ import annotations

import threading

from restorekit.errors import DataError
from restorekit.notices import notice

SHARE = 0.1  # of the images may be bad before even `skip` stops: by then the folder is what is broken


class BadImages:
    """What to do with a bad image, and which there were; thread-safe.

    `policy`: ``stop`` raises the error, which names the file; ``skip`` notes it, warns once and goes on.
    """

    def __init__(self, policy: str = "stop", images: int = 0) -> None:
        self.policy = policy
        self.most = max(1, int(SHARE * images))
        self.messages: dict[str, str] = {}
        self._lock = threading.Lock()

    def note(self, name: str, error: DataError) -> None:
        """Take note of one failure. Raises `error` under ``stop``, `DataError` when there are too many."""
        if self.policy == "stop":
            raise error
        with self._lock:
            known = name in self.messages
            self.messages[name] = str(error)
            count = len(self.messages)
        if not known:
            notice(f"left out, bad image number {count}: {error}")
        if count > self.most:
            raise DataError(
                f"{count} images cannot be read, more than the {self.most} that --on-bad-image skip leaves out;"
                f" the last: {error} Mend or remove them"
            ) from error
