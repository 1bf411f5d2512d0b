"""Finding installed plugins, each in isolation: a broken one never disturbs the others."""

from __future__ import annotations

import importlib
import os
import re
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, distributions
from pathlib import Path
from types import ModuleType

import pluggy

from restorekit.errors import PluginError
from restorekit.plugin import hookspecs
from restorekit.plugin.entry import Entry
from restorekit.plugin.isolation import foreign_code

CHOICE = "RESTOREKIT_PLUGINS"
GROUP_PREFIX = "restorekit.v"
INTERFACE = 1
GROUP = f"{GROUP_PREFIX}{INTERFACE}"
_ANY_VERSION = re.compile(re.escape(GROUP_PREFIX) + r"\d+")


@dataclass(frozen=True)
class Plugin:
    """One plugin as found: its entries, or why it cannot be used."""

    name: str
    module: str
    distribution: str
    version: str
    entries: tuple[Entry, ...] = ()
    error: str = ""
    traceback: str = field(default="", repr=False)

    @property
    def warning(self) -> str:
        """One line for a plugin that failed, else an empty string."""
        if not self.error:
            return ""
        return (
            f"plugin {self.name!r} ({self.distribution} {self.version}) is not usable: {self.error};"
            f" see `restorekit plugins check {self.name}`"
        )


def new_manager() -> pluggy.PluginManager:
    """Return a pluggy manager that knows restorekit's hooks."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _candidates() -> tuple[list[Distribution], list[Plugin]]:
    """Return the distributions that mention restorekit's group, sorted by name, and those that cannot be read.

    Reading the name parses all metadata, which for a hundred distributions takes most of the time of a
    listing; so the small file of entry points is looked at first. Of several copies on the path the
    first counts.
    """
    named: dict[str, Distribution] = {}
    damaged: list[Plugin] = []
    for found in distributions():
        try:
            if GROUP_PREFIX in (found.read_text("entry_points.txt") or ""):
                named.setdefault(_normalised(found.name), found)
        except Exception as error:  # a damaged file raises whatever its reader stumbles over
            damaged.append(_unreadable(_folder_name(found), "?", error))
    return [_preferred(named[key]) for key in sorted(named)], damaged


def _normalised(name: str | None) -> str:
    if not name:
        raise PluginError("its METADATA gives no name")
    return re.sub(r"[-_.]+", "-", name).lower()


def _preferred(found: Distribution) -> Distribution:
    try:
        return distribution(found.name)
    except PackageNotFoundError:  # its folder is not called as it should be, as after an interrupted uninstall
        return found


def version_of(found: Distribution) -> str:
    """Return a distribution's version, or ``?`` where its METADATA gives none."""
    try:
        return found.version or "?"
    except KeyError:  # as newer Pythons say it
        return "?"


def _folder_name(found: Distribution) -> str:
    return Path(str(getattr(found, "_path", "a distribution"))).name


def _points(found: Distribution) -> list[EntryPoint]:
    """Return the entry points of every interface version; of one name, only ours if it is among them."""
    points = [p for p in found.entry_points if _ANY_VERSION.fullmatch(p.group)]
    ours = {p.name for p in points if p.group == GROUP}
    kept = (p for p in points if p.group == GROUP or p.name not in ours)
    return sorted(kept, key=lambda p: (p.name, p.group, p.value))


def _listed(given: object) -> list[Entry]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise PluginError(f"restorekit_entries() gave a {type(given).__name__}; it must give a list of Entry objects")
    return list(given)


def _checked_entries(manager: pluggy.PluginManager, module: ModuleType) -> tuple[Entry, ...]:
    """Call the module's own `restorekit_entries`, and refuse what is not a set of distinct entries."""
    found: list[Entry] = []
    for implementation in manager.hook.restorekit_entries.get_hookimpls():
        if implementation.plugin is module:
            found.extend(_listed(implementation.function()))
    seen: set[tuple[str, str]] = set()
    for entry in found:
        if not isinstance(entry, Entry):
            raise PluginError(f"restorekit_entries() gave a {type(entry).__name__}; it must give Entry objects only")
        if (entry.kind, entry.name) in seen:
            raise PluginError(f"it declares the {entry.kind} {entry.name!r} twice; names must be unique")
        seen.add((entry.kind, entry.name))
    return tuple(found)


def hook_names() -> list[str]:
    """Return the names of all hooks."""
    return [name for name in vars(hookspecs) if hasattr(getattr(hookspecs, name), f"{hookspecs.PROJECT}_spec")]


def _require_hooks(module: ModuleType) -> None:
    """Refuse a module whose hooks are not marked, or that has none: the likeliest first mistakes."""
    mark = f"{hookspecs.PROJECT}_impl"
    found = {name: getattr(module, name) for name in hook_names() if callable(getattr(module, name, None))}
    unmarked = [name for name, function in found.items() if not hasattr(function, mark)]
    if unmarked:
        raise PluginError(
            f"its function {unmarked[0]} is not marked as a hook; write @hookimpl (from restorekit.plugin) above it"
        )
    if not found and not any(hasattr(value, mark) for value in vars(module).values()):
        raise PluginError(
            f"its module {module.__name__!r} has no hook, and so declares nothing; write a function"
            " restorekit_entries() that returns a list of Entry objects, with @hookimpl above it"
        )


def _register(manager: pluggy.PluginManager, module: ModuleType, name: str) -> tuple[Entry, ...]:
    """Register the module and ask it; if anything is wrong it is taken out again, and the error goes on."""
    if manager.is_registered(module):
        raise PluginError(
            f"its module {module.__name__!r} is registered already, as plugin {manager.get_name(module)!r};"
            " a module can be one plugin only"
        )
    _require_hooks(module)
    try:
        manager.register(module, name=name)
        manager.check_pending()
        return _checked_entries(manager, module)
    except BaseException:
        if manager.is_registered(module):
            manager.unregister(module)
        raise


def _imported(name: str) -> ModuleType:
    """Import the module that an entry point names. Raises `PluginError` when it names none that there is."""
    module, colon, attribute = name.partition(":")
    if colon:
        raise PluginError(
            f"its entry point names the object {attribute!r} in {module!r}; name the module alone, as hooks are found"
            f" by their names: {module!r}"
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and lacks another
        raise PluginError(
            f"its entry point names the module {name!r}, and there is no {error.name!r}; mend the name, or see that the"
            " wheel holds the package"
        ) from error


def load_plugin(manager: pluggy.PluginManager, name: str, module_name: str, distribution: str, version: str) -> Plugin:
    """Import, register and ask one plugin. Whatever it raises becomes its `error`.

    What it prints meanwhile goes to standard error, so that it cannot spoil ``--json``.
    """
    plugin = Plugin(name, module_name, distribution, version)
    with foreign_code() as told:
        entries = _register(manager, _imported(module_name), name)
    if told.error is not None:
        return replace(plugin, error=told.line, traceback=told.trace)
    return replace(plugin, entries=entries)


def _wrong_version(found: Distribution, point: EntryPoint) -> Plugin:
    return Plugin(
        name=point.name,
        module=point.value,
        distribution=found.name,
        version=version_of(found),
        error=f"it is written for interface {point.group!r} and this restorekit offers {GROUP!r}; install a"
        f" version of {found.name} or of restorekit so that both agree",
    )


def _name_taken(found: Distribution, point: EntryPoint, owner: str) -> Plugin:
    remedy = "rename one of the two" if owner in (found.name, "restorekit") else "uninstall one of the two"
    return Plugin(
        name=point.name,
        module=point.value,
        distribution=found.name,
        version=version_of(found),
        error=f"the plugin name {point.name!r} is taken by {owner}; {remedy}",
    )


def _unreadable(name: str, version: str, error: Exception) -> Plugin:
    return Plugin(
        name=name,
        module="",
        distribution=name,
        version=version,
        error=f"its metadata cannot be read ({type(error).__name__}: {error}); reinstall or remove {name}",
        traceback=traceback.format_exc(),
    )


def _chosen() -> frozenset[str] | None:
    """Return the plugins that the environment asks for, or None for all of them."""
    given = os.environ.get(CHOICE)
    return None if given is None else frozenset(name.strip() for name in given.split(",") if name.strip())


def _absent(name: str, version: str) -> Plugin:
    return Plugin(
        name=name,
        module="",
        distribution="restorekit",
        version=version,
        error=f"{CHOICE} names {name!r}, and no installed plugin has that name; `{CHOICE}` unset lists all of them",
    )


def _load_distribution(
    manager: pluggy.PluginManager, found: Distribution, owners: dict[str, str], chosen: frozenset[str] | None
) -> Iterator[Plugin]:
    try:
        points = _points(found)
    except Exception as error:  # a damaged file raises whatever the parser stumbles over
        yield _unreadable(found.name, version_of(found), error)
        return
    for point in points:
        if chosen is not None and point.name not in chosen:
            continue
        if point.group != GROUP:
            yield _wrong_version(found, point)
        elif point.name in owners:
            yield _name_taken(found, point, owners[point.name])
        else:
            owners[point.name] = found.name
            yield load_plugin(manager, point.name, point.value, found.name, version_of(found))


def discover(manager: pluggy.PluginManager, core_module: str, version: str) -> tuple[Plugin, ...]:
    """Load the core's own components and then every installed plugin, in sorted order.

    With the environment variable RESTOREKIT_PLUGINS, only those that it names (separated by commas; none if empty).
    """
    chosen = _chosen()
    plugins = [load_plugin(manager, "core", core_module, "restorekit", version)]
    owners = {"core": "restorekit"}
    candidates, damaged = _candidates()
    for found in candidates:
        plugins.extend(_load_distribution(manager, found, owners, chosen))
    known = {plugin.name for plugin in plugins}
    absent = [_absent(name, version) for name in sorted((chosen or frozenset()) - known)]
    return (*plugins, *damaged, *absent)
