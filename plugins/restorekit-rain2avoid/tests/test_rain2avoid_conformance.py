"""The plugin passes the checks that every plugin has to pass; those of the engine are in the core's tests."""

from __future__ import annotations

from restorekit.testing import Check, parametrize_with_checks

SMALL = {"generator:rain-unet": {"width": 8}, "model:rain2avoid": {"width": 8}, "model:rain2avoid-plus": {"width": 8}}


@parametrize_with_checks("rain2avoid", settings=SMALL, engine=False)
def test_conforms(check: Check) -> None:
    check()
