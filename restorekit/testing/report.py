"""Running checks without pytest."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from restorekit.errors import RestorekitError
from restorekit.termination import Terminated
from restorekit.testing.check import Check, CheckFailedError, CheckSkippedError
from restorekit.testing.select import Settings, checks_for_plugin, chosen_checks, expected_failures

Outcome = Literal["passed", "failed", "skipped", "expected failure", "unexpected pass"]
_BAD: tuple[Outcome, ...] = ("failed", "unexpected pass")


@dataclass(frozen=True)
class Result:
    """The outcome of the check `key`; `message` says what is wrong or why it was not made; `seconds` it took.

    `traceback`: of the component's own error, where there was one.
    """

    key: str
    outcome: Outcome
    message: str = ""
    seconds: float = 0.0
    traceback: str = field(default="", repr=False)

    def __str__(self) -> str:
        line = f"{self.outcome.upper() if self.outcome in _BAD else self.outcome:16} {self.key}"
        message = "" if self.message in self.traceback else self.message
        shown = (text for text in (message, self.traceback.rstrip()) if text)
        return "\n    ".join((f"{line} ({self.seconds:.1f} s)", *shown))


@dataclass(frozen=True)
class Report:
    """The outcomes of all checks of one plugin: its name `plugin`, and one of `results` for each."""

    plugin: str
    results: tuple[Result, ...]

    @property
    def failures(self) -> tuple[Result, ...]:
        """What failed, and what passed although it was declared to fail."""
        return tuple(result for result in self.results if result.outcome in _BAD)

    @property
    def passed(self) -> bool:
        """Whether nothing failed that was not expected to."""
        return not self.failures

    @property
    def summary(self) -> str:
        """One line with the number of checks of each outcome."""
        outcomes = [result.outcome for result in self.results]
        counts = ", ".join(f"{outcomes.count(o)} {o}" for o in dict.fromkeys(outcomes))
        verdict = "conforms" if self.passed else "does NOT conform"
        return f"plugin {self.plugin!r} {verdict}: {counts or 'it has nothing to check'}."

    def plain(self) -> dict[str, object]:
        """Return the report in plain values, for JSON."""
        return {
            "plugin": self.plugin,
            "passed": self.passed,
            "results": [asdict(result) for result in self.results],
        }


def run_checks(
    plugin_name: str,
    *,
    expected: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    engine: bool = True,
    device: str = "cpu",
    components: Iterable[str] = (),
    only: Iterable[str] = (),
    on_result: Callable[[Result], object] | None = None,
) -> Report:
    """Make the checks of a plugin. Arguments as in `parametrize_with_checks`; `on_result` sees each result.

    `device`: where components are run. `components`: those of these names (``unet``, ``generator:unet``) alone. `only`:
    checks of these names alone, which may have wildcards (``weights-*``).

    Raises `PluginError` when the plugin is not installed or could not be loaded, and `UnknownNameError` for a
    component or a check that it does not have.
    """
    all_checks = checks_for_plugin(plugin_name, settings, device)
    reasons = expected_failures(plugin_name, all_checks, expected)
    results = []
    for check in chosen_checks(all_checks, components, only):
        if engine or not check.engine:
            results.append(_run(check, reasons.get(check.key, "")))
            if on_result:
                on_result(results[-1])
    return Report(plugin_name, tuple(results))


def _trace_of_cause(error: BaseException) -> str:
    """Return the traceback of the component's own error behind a failed check, or nothing."""
    cause = error.__cause__
    while isinstance(cause, CheckFailedError):
        cause = cause.__cause__
    if cause is None or isinstance(cause, RestorekitError):
        return ""
    return "".join(traceback.format_exception(cause))


def _run(check: Check, reason: str) -> Result:
    start = time.perf_counter()
    outcome: Outcome = "passed"
    message = trace = ""
    try:
        check()
    except CheckSkippedError as error:
        outcome, message = "skipped", str(error)
    except CheckFailedError as error:
        outcome, message, trace = "failed", str(error), _trace_of_cause(error)
    except Terminated:
        raise
    except SystemExit as error:
        outcome, trace = "failed", traceback.format_exc()
        message = f"it ends the whole program (SystemExit: {error}); raise an error, and leave exiting to restorekit"
    except Exception as error:  # the component's own error: its author needs the whole trace
        outcome, message, trace = "failed", f"{type(error).__name__}: {error}", traceback.format_exc()
    if reason and outcome == "failed":
        outcome, message, trace = "expected failure", reason, ""
    elif reason and outcome == "passed":
        outcome, message = "unexpected pass", f"declared to fail ({reason}); take it out of EXPECTED_FAILURES"
    return Result(check.key, outcome, message, time.perf_counter() - start, trace)
