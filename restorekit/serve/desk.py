"""Restoring what visitors bring, one file at a time, with progress and the possibility to cancel."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from restorekit.errors import UnknownNameError, closest
from restorekit.serve import store
from restorekit.serve.choices import Choice
from restorekit.serve.files import restore_item, told
from restorekit.serve.meter import Meter
from restorekit.serve.pace import Pace
from restorekit.serve.stopping import CancelledError, stopped_by
from restorekit.serve.store import Item

if TYPE_CHECKING:
    from restorekit.restoring.restorer import BaseRestorer

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
            hint = closest(name, names)
            raise UnknownNameError(f"there is no model {name!r} here; use one of {', '.join(names)}.{hint}")
        return name

    def _restorer(self, name: str) -> BaseRestorer:
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            self._loaded.move_to_end(name)
            while len(self._loaded) > _KEPT:
                self._loaded.popitem(last=False)
            return self._loaded[name]

    def work(self, item: Item, model: str) -> Iterator[dict[str, object]]:
        """Restore an item and yield, again and again, what there is to tell: `Item.facts` and progress.

        ``share``: how much is done, 0 to 1; ``left``: seconds, None while they are not known. Closing the iterator
        cancels the work. Errors are told in the item's ``message``.
        """
        item.state, item.model, item.message = store.WORKING, model, ""
        stop, meter = item.stop, Meter()
        with ThreadPoolExecutor(1, thread_name_prefix="restorekit-serve") as pool:
            try:
                running = pool.submit(self._restore, item, meter)
                while not _finished(running):
                    share, left = meter.now()
                    yield item.facts() | {"share": share, "left": left}
                _settle(item, running)
            finally:
                stop.set()
                if item.state == store.WORKING:  # the visitor went away
                    item.state = store.CANCELLED
        item.seconds, item.used = round(meter.elapsed, 2), time.monotonic()
        yield item.facts() | {"share": 1.0, "left": 0.0}

    def _restore(self, item: Item, meter: Meter) -> None:
        with stopped_by(item.stop):
            restore_item(item, self._restorer(item.model), meter, self._pace)


def _finished(running: Future[None]) -> bool:
    try:
        running.exception(timeout=_TICK)
    except TimeoutError:
        return False
    return True


def _settle(item: Item, running: Future[None]) -> None:
    """Note how the work on an item ended, in the words of the command line."""
    error = running.exception()
    if error is None:
        item.state = store.DONE
    elif isinstance(error, CancelledError):
        item.state, item.message = store.CANCELLED, "cancelled"
    else:
        item.state, item.message = store.FAILED, told(error, item)
