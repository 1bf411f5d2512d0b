"""Conformance checks for plugin authors: is a component what the rest of restorekit expects?

In a plugin's tests::

    from restorekit.testing import Check, parametrize_with_checks

    @parametrize_with_checks("myplugin")
    def test_conformance(check: Check) -> None:
        check()

`restorekit plugins check myplugin` runs the same checks without pytest.
"""

from restorekit.testing.check import Check, CheckFailedError, CheckSkippedError
from restorekit.testing.report import Report, Result, run_checks
from restorekit.testing.select import checks_for, checks_for_plugin, parametrize_with_checks

__all__ = [
    "Check",
    "CheckFailedError",
    "CheckSkippedError",
    "Report",
    "Result",
    "checks_for",
    "checks_for_plugin",
    "parametrize_with_checks",
    "run_checks",
]
