"""Which checks a component or a plugin has to pass, and pytest parameters made of them."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from restorekit.errors import PluginError, UnknownNameError, WeightsError, closest
from restorekit.plugin.discovery import Plugin
from restorekit.plugin.registry import Component, registry
from restorekit.testing.check import (
    CHECKS,
    ENGINE_CHECKS,
    Check,
    CheckFunction,
    CheckSkippedError,
    Subject,
    check_name,
)

if TYPE_CHECKING:
    import pytest

Settings = Mapping[str, Mapping[str, Any]]

# These modules register the checks, in the order in which they are made.
_MODULES = ("common", "networks", "generator", "discriminator", "loss", "metric", "prior", "model", "engine")


@functools.cache
def _load_checks() -> None:
    for module in _MODULES:
        importlib.import_module(f"restorekit.testing.{module}_checks")


def checks_for(component: Component, settings: Mapping[str, Any] | None = None) -> list[Check]:
    """Return the checks of one component, built with `settings` (its defaults without)."""
    _load_checks()
    subject = Subject(component, settings or {})
    prefix = f"{component.entry.kind}:{component.entry.name}"
    return [
        Check(
            f"{prefix}:{check_name(function)}",
            functools.partial(_make, function, subject),
            function in ENGINE_CHECKS,
        )
        for function in CHECKS.get(component.entry.kind, [])
    ]


def _make(function: CheckFunction, subject: Subject) -> None:
    """Make one check; weights that are missing here (no network) are no fault of the component."""
    try:
        function(subject)
    except WeightsError as error:
        raise CheckSkippedError(f"weights that it needs are not here: {error}") from error


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


def checks_for_plugin(name: str, settings: Settings | None = None) -> list[Check]:
    """Return the checks of a plugin and of everything that it declares.

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
        checks += checks_for(Component(entry, plugin), chosen.get(f"{entry.kind}:{entry.name}"))
    return checks


def _declared(plugin: Plugin, attribute: str) -> Mapping[str, Any]:
    value = getattr(importlib.import_module(plugin.module), attribute, {})
    if not isinstance(value, Mapping):
        raise PluginError(f"{plugin.module}.{attribute} is a {type(value).__name__}; it must be a dict")
    return value


def _refuse_unknown(given: Mapping[str, Any], allowed: list[str], what: str) -> None:
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
