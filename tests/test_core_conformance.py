"""The core's own components pass the checks that plugins have to pass."""

from __future__ import annotations

import pytest

from restorekit.testing import Check, CheckSkippedError, checks_for_plugin

_PRETRAINED = ("loss:perceptual:", "loss:lpips:", "metric:lpips:")  # would download; their own tests have stand-ins


@pytest.mark.parametrize("check", [c for c in checks_for_plugin("core") if not c.key.startswith(_PRETRAINED)], ids=str)
def test_core_conforms(check: Check) -> None:
    try:
        check()
    except CheckSkippedError as reason:
        pytest.skip(str(reason))
