"""The plugin passes the checks that every plugin has to pass; those of the engine are in the core's tests."""

from __future__ import annotations

from restorekit.testing import Check, parametrize_with_checks

SMALL = {"generator:remaen": {"width": 16}, "model:remaen": {"width": 16}}


@parametrize_with_checks("remaen", settings=SMALL, engine=False)
def test_conforms(check: Check) -> None:
    check()
