"""Ending a computation in the middle of an image, because whoever waits for it has cancelled."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from contextvars import ContextVar
from threading import Event

from torch.nn.modules.module import register_module_forward_pre_hook


class CancelledError(Exception):
    """The computation was cancelled."""


_stop: ContextVar[Event | None] = ContextVar("restorekit_stop", default=None)


def _look(module: object, inputs: object) -> None:
    stop = _stop.get()
    if stop is not None and stop.is_set():
        raise CancelledError


@functools.cache
def _watch_all_layers() -> None:
    register_module_forward_pre_hook(_look)


@contextlib.contextmanager
def stopped_by(stop: Event) -> Iterator[None]:
    """Let `stop` end what this thread computes: `CancelledError` is raised before the next layer of any network.

    A large image takes minutes in a pass or two, and nobody who cancels wants to wait for the end of one.
    """
    _watch_all_layers()
    if stop.is_set():
        raise CancelledError
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)
