"""Restoring what visitors bring, one file at a time, with progress and the possibility to cancel."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restorekit.data.images import Picture, read_picture, write_picture
from restorekit.data.images.writing import losses
from restorekit.errors import ImageError, RestorekitError, UnknownNameError, closest
from restorekit.serve import store
from restorekit.serve.choices import Choice
from restorekit.serve.pace import Pace, progress
from restorekit.serve.previews import write_preview
from restorekit.serve.stopping import CancelledError, stopped_by
from restorekit.serve.store import Item

if TYPE_CHECKING:
    from restorekit.restore.restorer import BaseRestorer

Load = Callable[[str], "BaseRestorer"]
_KEPT = 2  # models in memory
_TICK = 0.2  # seconds between two reports of progress


class Desk:
    """Restores items with the models of `choices`, which `load` brings; the two used last stay in memory."""

    def __init__(self, offered: Sequence[Choice], load: Load) -> None:
        self.choices = tuple(offered)
        self._load = load
        self._pace = Pace()
        self._loaded: OrderedDict[str, BaseRestorer] = OrderedDict()
        self._lock = threading.Lock()

    def model(self, name: str) -> str:
        """Return the name of the model to use; the default one for an empty name.

        Raises `UnknownNameError` for one that is not offered.
        """
        names = [choice.name for choice in self.choices]
        if not name:
            return next(choice.name for choice in self.choices if choice.default)
        if name not in names:
            raise UnknownNameError(f"there is no model {name!r} here; use one of {', '.join(names)}.{closest(name, names)}")
        return name

    def restorer(self, name: str) -> BaseRestorer:
        """Return a model of `choices`, ready to restore."""
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            self._loaded.move_to_end(name)
            while len(self._loaded) > _KEPT:
                self._loaded.popitem(last=False)
            return self._loaded[name]

    def work(self, item: Item, model: str) -> Iterator[dict[str, Any]]:
        """Restore an item and yield, again and again, what there is to tell: `Item.facts` and progress.

        ``share``: how much is done, 0 to 1; ``left``: seconds, None while they are not known. Closing the iterator
        cancels the work. Errors are told in the item's ``message``.
        """
        item.state, item.model, item.message = store.WORKING, model, ""
        begun = time.monotonic()
        expected: list[float] = []
        with ThreadPoolExecutor(1, thread_name_prefix="restorekit-serve") as pool:
            try:
                running = pool.submit(self._restore, item, expected.append)
                while not _finished(running):
                    share, left = progress(time.monotonic() - begun, expected[0]) if expected else (0.0, None)
                    yield item.facts() | {"share": share, "left": left}
                _settle(item, running)
            finally:
                item.stop.set()
        item.seconds = round(time.monotonic() - begun, 2)
        yield item.facts() | {"share": 1.0, "left": 0.0}

    def _restore(self, item: Item, expect: Callable[[float], None]) -> Item:
        """Restore one item into its folder."""
        with stopped_by(item.stop):
            restorer = self.restorer(item.model)
            picture = read_picture(item.source)
            megapixels = picture.width * picture.height / 1e6
            expect(self._pace.expected(item.model, megapixels))
            begun = time.monotonic()
            write_preview(picture, item.preview("before"))
            restored = restorer.restore_picture(picture)
            target = item.folder / "result" / item.name
            target.parent.mkdir(exist_ok=True)
            write_picture(target, restored)
            item.round += 1
            write_preview(restored, item.preview("after"))
            write_preview(restored, item.preview("thumb"), longest=240)
            self._pace.learn(item.model, megapixels, time.monotonic() - begun)
        item.result, item.size = target, (picture.width, picture.height)
        item.notes = (*picture.notes, *losses(target, picture))
        return item


def _finished(running: Future[Any]) -> bool:
    try:
        running.exception(timeout=_TICK)
    except TimeoutError:
        return False
    return True


def _settle(item: Item, running: Future[Any]) -> None:
    """Note how the work on an item ended, in the words of the command line."""
    error = running.exception()
    if error is None:
        item.state = store.DONE
    elif isinstance(error, CancelledError):
        item.state, item.message = store.CANCELLED, "cancelled"
    else:
        item.state, item.message = store.FAILED, told(error, item.source, item.name)


def told(error: BaseException, path: Path, name: str) -> str:
    """Return an error as a visitor may read it: with the file's name in place of a path of this machine."""
    if isinstance(error, RestorekitError):
        return str(error).replace(str(path), name)
    if isinstance(error, OSError):
        return f"{name}: the machine that restores could not keep it ({error.strerror or error}); tell whoever runs it"
    return f"{name}: the model failed ({type(error).__name__}: {error})"


def blended(source: Picture, restored: Picture, strength: float) -> Picture:
    """Return `restored` blended with `source`: 0 is the source, 1 the restored picture.

    Raises `ImageError` for a strength outside [0, 1].
    """
    if not 0 <= strength <= 1:
        raise ImageError(f"strength is {strength}; give a number from 0 (the input) to 1 (the result)")
    if strength == 1:
        return restored
    before, after = source.tensor(), restored.tensor()
    return replace(restored.with_image(before.lerp_(after, strength)), notes=restored.notes)
