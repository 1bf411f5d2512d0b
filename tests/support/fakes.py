"""Components whose target is a class of the test, and what the conformance checks say about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from restorekit.plugin import Entry
from restorekit.plugin.discovery import Plugin
from restorekit.plugin.entry import Kind
from restorekit.plugin.registry import Component, registry
from restorekit.testing import CheckSkippedError, checks_for


@dataclass(frozen=True)
class FakeComponent(Component):
    """A component that needs no import."""

    target: Any

    def load(self) -> Any:
        return self.target


def component(kind: Kind, target: type, **fields: Any) -> FakeComponent:
    entry = Entry(name="thing", kind=kind, target=f"here:{target.__name__}", summary="A thing.", **fields)
    return FakeComponent(entry, Plugin("fake", "fake", "restorekit-fake", "1.0", (entry,)), target)


def failures(checked: Component) -> dict[str, str]:
    """Return check name -> message of all checks that fail, whatever they raise."""
    found, skipped = {}, []
    for check in checks_for(checked):
        try:
            check()
        except CheckSkippedError as error:
            skipped.append(str(error))
        except Exception as error:
            found[check.name] = str(error)
    return found


@contextmanager
def installed(*components: FakeComponent) -> Iterator[None]:
    """Let this process's registry offer `components`, as if their plugin was installed."""
    found = registry()
    for item in components:
        assert item.id not in found._components[item.entry.kind]
        found._components[item.entry.kind][item.id] = item
    try:
        yield
    finally:
        for item in components:
            del found._components[item.entry.kind][item.id]


def declared(kind: Kind, name: str, target: Any, **fields: Any) -> FakeComponent:
    """Return a component called `name` whose target is an object of the test."""
    entry = Entry(name=name, kind=kind, target="here:thing", summary=f"The {kind} {name}.", **fields)
    return FakeComponent(entry, Plugin("fake", "fake", "restorekit-fake", "1.0", (entry,)), target)
