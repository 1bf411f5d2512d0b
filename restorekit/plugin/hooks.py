"""Calling the hooks of trackers: one that fails is named once, with its traceback in a file, and stops nothing."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path

import pluggy

from restorekit.errors import UnknownNameError, closest
from restorekit.notices import notice

TRACKER_HOOKS = (
    "run_started",
    "step_logged",
    "evaluated",
    "checkpoint_saved",
    "run_finished",
    "run_failed",
    "benchmark_finished",
)
LOG = "hooks.log"


def trackers(manager: pluggy.PluginManager) -> list[str]:
    """Return the names of the plugins that follow runs or benchmarks, sorted."""
    found = {i.plugin_name for hook in TRACKER_HOOKS for i in getattr(manager.hook, hook).get_hookimpls()}
    return sorted(found)


def check_trackers(manager: pluggy.PluginManager, names: Iterable[str]) -> None:
    """Raise `UnknownNameError` for a name that no tracker has."""
    known = trackers(manager)
    for name in names:
        if name not in known:
            raise UnknownNameError(
                f"no plugin called {name!r} follows runs.{closest(name, known)} These do: {', '.join(known) or 'none'}."
            )


def where(error: BaseException) -> str:
    """Return file and line where an error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"


def _own(value: object) -> object:
    """Return a mapping that a tracker may change: the run, and the trackers behind it, keep theirs."""
    return copy.deepcopy(dict(value)) if isinstance(value, Mapping) else value


class Hooks:
    """The hooks of the chosen trackers, for one run or benchmark in the folder `folder`.

    A hook that fails is told of once; its tracebacks go into ``hooks.log`` there.
    """

    def __init__(self, manager: pluggy.PluginManager, chosen: Iterable[str], folder: Path) -> None:
        self.manager = manager
        self.chosen = frozenset(chosen)
        self.folder = folder
        self._failed: set[tuple[str, str]] = set()
        check_trackers(manager, self.chosen)

    def call(self, hook: str, **arguments: object) -> None:
        """Call a hook of every chosen tracker; each takes the arguments that it names, and mappings of its own."""
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            if implementation.plugin_name not in self.chosen:
                continue
            try:
                implementation.function(*[_own(arguments[name]) for name in implementation.argnames])
            except (Exception, SystemExit) as error:
                self._report(hook, implementation.plugin_name, error)

    def _report(self, hook: str, plugin: str, error: BaseException) -> None:
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{hook} of plugin {plugin!r}\n{''.join(traceback.format_exception(error))}\n")
        if (hook, plugin) in self._failed:
            return
        self._failed.add((hook, plugin))
        message = " ".join(str(error).split()) or "no message"
        notice(
            f"hook {hook} of plugin {plugin!r} failed ({type(error).__name__}: {message}, in {where(error)}); the run"
            f" goes on, and {self.folder / LOG} has the traceback of each failure"
        )
