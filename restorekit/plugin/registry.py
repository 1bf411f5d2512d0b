"""The registry: which components there are, and how one is built from its settings."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from dataclasses import dataclass
from typing import Any

import pluggy

from restorekit.errors import PluginError, RecipeError, RestorekitError, UnknownNameError, closest
from restorekit.plugin.discovery import Plugin, discover, new_manager
from restorekit.plugin.entry import KINDS, Entry, Kind
from restorekit.plugin.settings import check_settings
from restorekit.version import __version__

CORE_MODULE = "restorekit.core"
PLURALS: dict[Kind, str] = {kind: "losses" if kind == "loss" else f"{kind}s" for kind in KINDS}


@dataclass(frozen=True)
class Component:
    """An entry together with the plugin that declared it."""

    entry: Entry
    plugin: Plugin

    @property
    def id(self) -> str:
        """The canonical id, ``plugin/name``."""
        return f"{self.plugin.name}/{self.entry.name}"

    @property
    def license(self) -> str:
        """The licence of the implementation: the entry's, else the distribution's, else ``none stated``."""
        return self.entry.license or stated_license(self.plugin.distribution) or "none stated"

    def load(self) -> Any:
        """Import the target and return it.

        Raises `PluginError` when the import fails or the attribute is not there.
        """
        module, _, attribute = self.entry.target.partition(":")
        try:
            target: object = importlib.import_module(module)
            for part in attribute.split("."):
                target = getattr(target, part)
        except RestorekitError:
            raise
        except Exception as error:
            raise PluginError(
                f"{self.entry.kind} {self.id!r}: its target {self.entry.target!r} cannot be loaded"
                f" ({type(error).__name__}: {error}); reinstall or mend {self.plugin.distribution}"
            ) from error
        return target


@functools.cache
def stated_license(distribution: str) -> str:
    """Return the ``License-Expression`` of an installed distribution, or an empty string."""
    try:
        metadata = importlib.metadata.metadata(distribution)
        return str(metadata["License-Expression"]) if "License-Expression" in metadata else ""
    except importlib.metadata.PackageNotFoundError:
        return ""


class Registry:
    """All components of all usable plugins."""

    def __init__(self, manager: pluggy.PluginManager, plugins: tuple[Plugin, ...]) -> None:
        self.manager = manager
        self.plugins = plugins
        self._components: dict[Kind, dict[str, Component]] = {kind: {} for kind in KINDS}
        for plugin in plugins:
            for entry in plugin.entries:
                component = Component(entry, plugin)
                self._components[entry.kind][component.id] = component

    @property
    def warnings(self) -> list[str]:
        """One line for each plugin that failed."""
        return [plugin.warning for plugin in self.plugins if plugin.error]

    def components(self, kind: Kind) -> list[Component]:
        """Return the components of one kind, sorted by id."""
        if kind not in KINDS:
            raise PluginError(f"kind {kind!r} is unknown; use one of {', '.join(KINDS)}")
        return [self._components[kind][key] for key in sorted(self._components[kind])]

    def find(self, kind: Kind, name: str) -> Component:
        """Return the component called `name`, or ``plugin/name``.

        Raises `UnknownNameError` when there is none, or when a bare name is not unique.
        """
        known = self.components(kind)
        matches = [c for c in known if name in (c.id, c.entry.name)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UnknownNameError(
                f"{kind} {name!r} is offered by several plugins; say which: {', '.join(c.id for c in matches)}"
            )
        raise UnknownNameError(self._unknown(kind, name, known))

    def _unknown(self, kind: Kind, name: str, known: list[Component]) -> str:
        names = [c.id for c in known] if "/" in name else sorted({c.entry.name for c in known})
        listing = ", ".join(names) if len(names) <= 24 else f"`restorekit {PLURALS[kind]}` lists {len(names)}"
        message = f"there is no {kind} called {name!r}.{closest(name, names)} Installed: {listing or 'none'}."
        failed = [plugin.name for plugin in self.plugins if plugin.error]
        if failed:
            message += (
                f" These plugins could not be loaded and may hold it: {', '.join(failed)}"
                " (see `restorekit plugins check NAME`)."
            )
        return message

    def unique_name(self, component: Component) -> str:
        """Return the bare name while it is unique among its kind, else the canonical id."""
        same = [c for c in self.components(component.entry.kind) if c.entry.name == component.entry.name]
        return component.entry.name if len(same) == 1 else component.id


@functools.cache
def registry() -> Registry:
    """Return the registry of this process; plugins are looked for once."""
    manager = new_manager()
    return Registry(manager, discover(manager, CORE_MODULE, __version__))


def broken(component: Component, doing: str, error: Exception) -> PluginError:
    """Return the error that says that a plugin's own code failed, and whose it is."""
    return PluginError(
        f"{component.entry.kind} {component.id!r}: {doing} failed ({type(error).__name__}: {error}); mend or reinstall"
        f" {component.plugin.distribution}"
    )


def create(kind: Kind, name: str, **settings: Any) -> Any:
    """Build the component `name` of `kind` from its settings.

    A data set, a task or a model is returned as declared (its card or recipe), and takes no settings.

    Raises `UnknownNameError` (no such component), `RecipeError` (a setting that it does not have or that it
    refuses) and `PluginError` (it cannot be imported, or its code fails).
    """
    component = registry().find(kind, name)
    target = component.load()
    if not callable(target):
        if settings:
            raise RecipeError(f"{kind} {component.id!r} takes no settings; {sorted(settings)} were given")
        return target
    check_settings(f"{kind} {component.id!r}", target, settings)
    try:
        return target(**settings)
    except RestorekitError:
        raise
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        given = f"with {settings}" if settings else "from its defaults"
        raise RecipeError(f"{kind} {component.id!r} cannot be built {given}: {error}") from error
    except Exception as error:
        raise broken(component, "building it", error) from error
