"""What a check is: a named function of one component that raises when the component does not conform."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from restorekit.errors import RestorekitError
from restorekit.plugin.entry import Kind
from restorekit.plugin.registry import Component
from restorekit.plugin.settings import check_settings

Answer = TypeVar("Answer")


class CheckFailedError(RestorekitError, AssertionError):
    """The component does not conform; the message says how, and how to mend it."""


class CheckSkippedError(RestorekitError):
    """The check cannot be made here; the message says why."""


def require(condition: object, message: str) -> None:
    """Raise `CheckFailedError` with `message` unless the condition holds."""
    if not condition:
        raise CheckFailedError(message)


@dataclass(frozen=True)
class Subject:
    """A component, the settings that it is checked with (smaller than its defaults, for speed), and where."""

    component: Component
    settings: Mapping[str, object] = field(default_factory=dict)
    device: str = "cpu"

    @property
    def kind(self) -> Kind:
        """The component's kind."""
        return self.component.entry.kind

    def build(self, **changes: Any) -> Any:
        """Build the component from its settings, changed by `changes`; raises what its own code raises."""
        target = self.component.load()
        settings = {**self.settings, **changes}
        check_settings(f"{self.component.entry.kind} {self.component.id!r}", target, settings)
        built = target(**settings)
        return built.to(self.device) if hasattr(built, "parameters") else built


# where the samples of the check that is being made lie
PLACE: ContextVar[str] = ContextVar("PLACE", default="cpu")

CheckFunction = Callable[[Subject], None]

# kind -> the checks of that kind, in the order in which they are made
CHECKS: dict[Kind, list[CheckFunction]] = {}
# checks that run the training engine; a caller in a hurry leaves them out
ENGINE_CHECKS: set[CheckFunction] = set()
# checks whose failure makes those behind them pointless
GATES: set[CheckFunction] = set()


def for_kinds(*kinds: Kind, engine: bool = False, gate: bool = False) -> Callable[[CheckFunction], CheckFunction]:
    """Register a function as a check of components of these kinds; its name is the check's name.

    When a `gate` fails, the checks that are registered behind it are skipped and name it: one cause gives one failure.
    """

    def register(function: CheckFunction) -> CheckFunction:
        for kind in kinds:
            CHECKS.setdefault(kind, []).append(function)
        if engine:
            ENGINE_CHECKS.add(function)
        if gate:
            GATES.add(function)
        return function

    return register


@dataclass(frozen=True)
class Check:
    """One check, ready to be made: call it. It raises `CheckFailedError`, or any error of the component.

    `key`: ``kind:name:check``, the name under which expected failures are declared. `function`: what is
    called. `engine`: the check trains.
    """

    key: str
    function: Callable[[], None] = field(repr=False)
    engine: bool = False

    @property
    def name(self) -> str:
        """The name of the check alone."""
        return self.key.rpartition(":")[2]

    def __call__(self) -> None:
        """Run the check; raises what it finds wrong."""
        self.function()

    def __str__(self) -> str:
        return self.key


@contextmanager
def naming_no_device() -> Iterator[None]:
    """Say so when code fails because it names a device of its own, which this machine lacks."""
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        if not re.search("CUDA|NVIDIA", str(error)):
            raise
        raise CheckFailedError(
            f"it asks for CUDA itself ({' '.join(str(error).split())[:120]}); name no device: make constants buffers"
            " (register_buffer) or create them with device=degraded.device"
        ) from error


def one_line(error: BaseException) -> str:
    """Return the type and the first 240 characters of an error in one line; of a failed check its message alone."""
    text = " ".join(str(error).split())
    return text if isinstance(error, CheckFailedError) else f"{type(error).__name__}: {text[:240]}"


def check_name(function: Callable[..., object]) -> str:
    """Return a check's name as people type it: ``check_any_size`` is ``any-size``."""
    return function.__name__.removeprefix("check_").replace("_", "-")


def answer_on_size(call: Callable[[], Answer], height: int, width: int) -> Answer | None:
    """Return what `call` gives on images of this size, or None when it refuses the size in restorekit's own words.

    Raises `CheckFailedError` for any other exception.
    """
    try:
        return call()
    except CheckFailedError:
        raise
    except RestorekitError:
        return None
    except Exception as error:
        raise CheckFailedError(
            f"on {height}x{width} pixels it raises {type(error).__name__}: {error}; raise a"
            " RestorekitError that says which sizes are allowed"
        ) from error
