"""What visitors uploaded and what became of it: kept in one temporary folder, and gone afterwards."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from restorekit.errors import DataError
from restorekit.serve.limits import Limits

_LONGEST_NAME = 120
WAITING, WORKING, DONE, FAILED, CANCELLED = "waiting", "working", "done", "failed", "cancelled"
IMAGE, ANIMATION, CLIP = "image", "animation", "clip"


def plain_name(name: str) -> str:
    """Return a file name that is safe to write: the last part of `name`, without control characters, not too long."""
    last = PurePosixPath(name.replace("\\", "/")).name.strip(". ")
    kept = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*') or "file"
    path = PurePosixPath(kept)
    return path.stem[: _LONGEST_NAME - len(path.suffix[:10])] + path.suffix[:10]


@dataclass(eq=False)
class Item:
    """One uploaded file and its result. `strength`: how much of the result is blended with the upload, 0 to 1.

    `session`: whose it is. `state`: ``waiting``, ``working``, ``done``, ``failed`` or ``cancelled``. `result`: the file
    that was written, at full strength. `kind`: ``image``, ``animation`` or ``clip``. `round` counts the restorings.
    `stop` ends the work on it.
    """

    id: str
    session: str
    name: str
    folder: Path
    state: str = WAITING
    model: str = ""
    message: str = ""
    notes: tuple[str, ...] = ()
    result: Path | None = None
    kind: str = IMAGE
    size: tuple[int, int] = (0, 0)
    strength: float = 1.0
    seconds: float = 0.0
    round: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    used: float = field(default_factory=time.monotonic)

    @property
    def source(self) -> Path:
        """The uploaded file."""
        return self.folder / self.name

    def wait(self) -> None:
        """Make it ready to be worked on, again where it was already."""
        self.state, self.message, self.stop = WAITING, "", threading.Event()

    def cancel(self) -> None:
        """End work on it, or see to it that none begins."""
        self.stop.set()
        if self.state == WAITING:
            self.state = CANCELLED

    def preview(self, which: str) -> Path:
        """Return where a picture that browsers show is kept: ``before``, ``after`` or ``thumb``, a small after."""
        return self.folder / "preview" / f"{which}.jpg"

    def facts(self) -> dict[str, object]:
        """Return what the page shows of it."""
        shown = ("id", "name", "state", "model", "message", "kind", "strength", "seconds", "round")
        values = {name: getattr(self, name) for name in shown}
        return values | {"notes": list(self.notes), "width": self.size[0], "height": self.size[1]}


class Store:
    """All items. Safe to use from several threads.

    `folder` is deleted by whoever made it; `limits` says how long an item is kept and how many a session may have.
    `uploads`: where gradio keeps what programs send and get.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = folder / "items"
        self.uploads = folder / "uploads"
        self.uploads.mkdir(parents=True)
        self.limits = limits
        self._items: dict[str, Item] = {}
        self._lock = threading.Lock()

    def add(self, session: str, name: str) -> Item:
        """Return a new item with an empty folder. Raises `DataError` when the session holds too many."""
        identity = secrets.token_urlsafe(12)
        folder = self.folder / identity
        with self._lock:
            if sum(item.session == session for item in self._items.values()) >= self.limits.files:
                raise DataError(
                    f"{name}: this page holds {self.limits.files} files already, which is the limit; download and"
                    " remove some first"
                )
            (folder / "preview").mkdir(parents=True)
            item = Item(identity, session, plain_name(name), folder)
            self._items[identity] = item
        return item

    def get(self, identity: str) -> Item | None:
        """Return an item, or None when it is gone; it counts as used now."""
        item = self._items.get(identity)
        if item is not None:
            item.used = time.monotonic()
        return item

    def of(self, session: str) -> list[Item]:
        """Return the items of a session, oldest first; they count as used now."""
        with self._lock:
            mine = [item for item in self._items.values() if item.session == session]
        for item in mine:
            item.used = time.monotonic()
        return mine

    def remove(self, items: Iterable[Item]) -> None:
        """Forget items, end work on them and delete their files."""
        for item in items:
            item.stop.set()
            with self._lock:
                self._items.pop(item.id, None)
            shutil.rmtree(item.folder, ignore_errors=True)

    def expire(self, now: float | None = None) -> None:
        """Delete what nobody has looked at for `limits.minutes`, of the uploads of programs too."""
        before = (time.monotonic() if now is None else now) - 60 * self.limits.minutes
        self.remove([item for item in list(self._items.values()) if item.used < before and item.state != WORKING])
        oldest = time.time() - 60 * self.limits.minutes
        for folder in self.uploads.iterdir():
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)
