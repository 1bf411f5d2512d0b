"""Which checks a component or a plugin has to pass, and pytest parameters made of them."""

from __future__ import annotations

import fnmatch
import functools
import importlib
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from restorekit.errors import PluginError, RestorekitError, UnknownNameError, WeightsError, closest
from restorekit.plugin.discovery import Plugin
from restorekit.plugin.registry import Component, registry
from restorekit.recipe.check import components_of, model_recipe
from restorekit.testing.check import (
    CHECKS,
    ENGINE_CHECKS,
    GATES,
    PLACE,
    Check,
    CheckFunction,
    CheckSkippedError,
    Subject,
    check_name,
)

if TYPE_CHECKING:
    import pytest

Settings = Mapping[str, Mapping[str, object]]

# These modules register the checks, in the order in which they are made.
_MODULES = (
    *("settings", "common", "dataset", "running", "networks", "generator", "discriminator", "loss", "metric", "prior"),
    *("synthesizer", "random", "meta", "procedure", "model", "weights", "engine"),
)


@functools.cache
def _load_checks() -> None:
    for module in _MODULES:
        importlib.import_module(f"restorekit.testing.{module}_checks")


def checks_for(component: Component, settings: Mapping[str, object] | None = None, device: str = "cpu") -> list[Check]:
    """Return the checks of one component, built with `settings` (its defaults without), on `device`."""
    _load_checks()
    subject = Subject(component, settings or {}, device)
    chain = _Chain(subject)
    prefix = f"{component.entry.kind}:{component.entry.name}"
    return [
        Check(f"{prefix}:{check_name(function)}", functools.partial(chain.make, function), function in ENGINE_CHECKS)
        for function in CHECKS.get(component.entry.kind, [])
    ]


class _Chain:
    """The checks of one component, in order; a check behind a failed gate is skipped and names it."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._gates: dict[CheckFunction, Exception | None] = {}

    def make(self, function: CheckFunction) -> None:
        """Make one check. Raises what it raises, or `CheckSkippedError` behind a failed gate."""
        if function in GATES:
            error = self._outcome(function)
            if error is not None:
                raise error
            return
        if failed := self.failed_gate(function):
            raise CheckSkippedError(f"it cannot hold while {failed} fails")
        if part := broken_part(self.subject.component):
            raise CheckSkippedError(f"it cannot hold while {part} fails")
        _make(function, self.subject)

    def failed_gate(self, before: CheckFunction | None = None) -> str:
        """Return the key of the first gate that fails, of those ahead of `before`; an empty string when none does."""
        component = self.subject.component
        for function in CHECKS.get(component.entry.kind, []):
            if function is before:
                break
            error = self._outcome(function) if function in GATES else None
            if error is not None and not isinstance(error, CheckSkippedError):
                return f"{component.entry.kind}:{component.entry.name}:{check_name(function)}"
        return ""

    def _outcome(self, gate: CheckFunction) -> Exception | None:
        if gate not in self._gates:
            failed = self.failed_gate(gate) or broken_part(self.subject.component)
            try:
                if failed:
                    raise CheckSkippedError(f"it cannot hold while {failed} fails")
                _make(gate, self.subject)
            except Exception as error:  # kept, and raised wherever the gate itself is asked for
                self._gates[gate] = error
            else:
                self._gates[gate] = None
        return self._gates[gate]


def broken_part(component: Component) -> str:
    """Return the key of the gate that a part of a model fails, of parts of its own plugin; else an empty string."""
    if component.entry.kind != "model":
        return ""
    try:
        parts = components_of(model_recipe(registry(), component.id), registry())
    except RestorekitError:  # the model's own checks say so
        return ""
    own = [part for part in parts if part.plugin.name == component.plugin.name]
    return next((failed for part in own if (failed := _failed_gate_of(part))), "")


@functools.lru_cache(maxsize=256)
def _failed_gate_of(component: Component) -> str:
    declared = _declared(component.plugin, "CHECK_SETTINGS") if component.plugin.module in sys.modules else {}
    settings = declared.get(f"{component.entry.kind}:{component.entry.name}", {})
    return _Chain(Subject(component, settings)).failed_gate()


def _make(function: CheckFunction, subject: Subject) -> None:
    """Make one check; weights that are missing here (no network) are no fault of the component."""
    token = PLACE.set(subject.device)
    try:
        function(subject)
    except WeightsError as error:
        raise CheckSkippedError(f"weights that it needs are not here: {error}") from error
    finally:
        PLACE.reset(token)


def usable_plugin(name: str) -> Plugin:
    """Return the plugin `name`. Raises `PluginError` when it is not installed or could not be loaded."""
    plugins = registry().plugins
    found = [plugin for plugin in plugins if plugin.name == name and not plugin.error]
    if found:
        return found[0]
    broken = [plugin for plugin in plugins if plugin.name == name]
    if broken:
        raise PluginError(broken[0].warning)
    names = [plugin.name for plugin in plugins]
    raise UnknownNameError(
        f"there is no plugin called {name!r}.{closest(name, names)} Installed: {', '.join(names)}."
        " Is the package installed (pip install -e .)?"
    )


def checks_for_plugin(name: str, settings: Settings | None = None, device: str = "cpu") -> list[Check]:
    """Return the checks of a plugin and of everything that it declares; components are run on `device`.

    `settings`: ``"kind:name"`` -> settings that the component is checked with; without, what the plugin's
    module gives as ``CHECK_SETTINGS``, else the defaults.
    """
    from restorekit.testing.plugin_checks import PLUGIN_CHECKS

    plugin = usable_plugin(name)
    chosen = _declared(plugin, "CHECK_SETTINGS") if settings is None else settings
    _refuse_unknown(chosen, [f"{e.kind}:{e.name}" for e in plugin.entries], "CHECK_SETTINGS")
    checks = [
        Check(f"plugin:{name}:{check_name(function)}", functools.partial(function, plugin))
        for function in PLUGIN_CHECKS
    ]
    for entry in plugin.entries:
        checks += checks_for(Component(entry, plugin), chosen.get(f"{entry.kind}:{entry.name}"), device)
    return checks


def chosen_checks(checks: list[Check], components: Iterable[str] = (), only: Iterable[str] = ()) -> list[Check]:
    """Return the checks of the named components (``name``, ``kind:name``, ``plugin/name``), and of the named checks.

    Raises `UnknownNameError` for a component or a check that is not among them.
    """
    for name in components:
        bare = name.rpartition("/")[2]
        if not any(bare in _component_names(check) for check in checks):
            known = list(dict.fromkeys(check.key.rpartition(":")[0] for check in checks))
            raise UnknownNameError(f"the plugin has no component {name!r}.{closest(bare, known)} It has: {known}.")
    for pattern in only:
        if not any(fnmatch.fnmatchcase(check.name, pattern) for check in checks):
            known = sorted({check.name for check in checks})
            raise UnknownNameError(f"there is no check {pattern!r}.{closest(pattern, known)} There are: {known}.")
    names = {name.rpartition("/")[2] for name in components}
    return [
        check
        for check in checks
        if (not names or names & _component_names(check))
        and (not only or any(fnmatch.fnmatchcase(check.name, pattern) for pattern in only))
    ]


def _component_names(check: Check) -> set[str]:
    kind, name, _ = check.key.split(":")
    return {name, f"{kind}:{name}"}


def _declared(plugin: Plugin, attribute: str) -> Mapping[str, Any]:
    value = getattr(importlib.import_module(plugin.module), attribute, {})
    if not isinstance(value, Mapping):
        raise PluginError(f"{plugin.module}.{attribute} is a {type(value).__name__}; it must be a dict")
    return value


def _refuse_unknown(given: Mapping[str, object], allowed: list[str], what: str) -> None:
    for key in given:
        if key not in allowed:
            raise PluginError(f"{what} names {key!r}, which does not exist.{closest(key, allowed)}")


def expected_failures(name: str, checks: list[Check], given: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """Return check key -> reason: `given`, else the plugin module's ``EXPECTED_FAILURES``.

    Raises `PluginError` for a key that names no check and for an empty reason.
    """
    expected = _declared(usable_plugin(name), "EXPECTED_FAILURES") if given is None else given
    _refuse_unknown(expected, [check.key for check in checks], "EXPECTED_FAILURES")
    for key, reason in expected.items():
        if not isinstance(reason, str) or not reason.strip():
            raise PluginError(f"EXPECTED_FAILURES[{key!r}] is {reason!r}; say in a sentence why it must fail")
    return expected


def parametrize_with_checks(
    plugin_name: str,
    *,
    expected: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    engine: bool = True,
) -> pytest.MarkDecorator:
    """Return a decorator that gives a pytest function its argument `check` once for each check of a plugin.

    `expected`: check key -> reason why it must fail; an expected failure that passes fails the test.
    `settings`: as in `checks_for_plugin`. Without `engine`, the checks that train are left out.

    Raises `PluginError` when the plugin is not installed or could not be loaded.
    """
    import pytest

    all_checks = checks_for_plugin(plugin_name, settings)
    reasons = expected_failures(plugin_name, all_checks, expected)
    checks = [check for check in all_checks if engine or not check.engine]
    parameters = []
    for check in checks:
        marks = (pytest.mark.xfail(reason=reasons[check.key], strict=True),) if check.key in reasons else ()
        function = functools.partial(_skipping, check)
        parameters.append(pytest.param(Check(check.key, function, check.engine), id=check.key, marks=marks))
    return pytest.mark.parametrize("check", parameters)


def _skipping(check: Check) -> None:
    import pytest

    try:
        check()
    except CheckSkippedError as reason:
        pytest.skip(str(reason))
