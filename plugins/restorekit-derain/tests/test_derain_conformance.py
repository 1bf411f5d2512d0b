"""The plugin passes the checks that every plugin has to pass; those of the engine are in the core's tests."""

from __future__ import annotations

from restorekit.testing import Check, parametrize_with_checks

SMALL = {
    "generator:derain": {"widths": (8, 12), "blocks": (1, 1)},
    "model:derain": {"widths": (8, 12), "blocks": (1, 1)},
}


@parametrize_with_checks("derain", settings=SMALL, engine=False)
def test_conforms(check: Check) -> None:
    check()
