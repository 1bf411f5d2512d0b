"""The plugin passes the checks that every plugin has to pass; those of the engine are in the core's tests."""

from __future__ import annotations

from restorekit.testing import Check, parametrize_with_checks

SMALL = {
    "generator:attngan": {"width": 8, "recurrent_width": 8},
    "discriminator:attngan": {"width": 16},
    "model:attngan": {"width": 8, "recurrent_width": 8},
}


@parametrize_with_checks("attngan", settings=SMALL, engine=False)
def test_conforms(check: Check) -> None:
    check()
