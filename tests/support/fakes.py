"""Components whose target is a class of the test, and what the conformance checks say about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from restorekit.plugin import Entry
from restorekit.plugin.discovery import Plugin
from restorekit.plugin.registry import Component
from restorekit.testing import CheckSkippedError, checks_for


@dataclass(frozen=True)
class FakeComponent(Component):
    """A component that needs no import."""

    target: type

    def load(self) -> Any:
        return self.target


def component(kind: str, target: type, **fields: Any) -> Component:
    entry = Entry(name="thing", kind=kind, target=f"here:{target.__name__}", summary="A thing.", **fields)
    return FakeComponent(entry, Plugin("fake", "fake", "restorekit-fake", "1.0", (entry,)), target)


def failures(checked: Component) -> dict[str, str]:
    """Return check name -> message of all checks that fail, whatever they raise."""
    found = {}
    for check in checks_for(checked):
        try:
            check()
        except CheckSkippedError:
            raise
        except Exception as error:
            found[check.name] = str(error)
    return found
