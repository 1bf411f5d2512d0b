"""The statistics of benchmarks/compare_training.py."""

from __future__ import annotations

import numpy as np
import pytest
from compare_training import interval, table


def test_seeds_widen_the_interval() -> None:
    images = np.linspace(-0.5, 0.5, 18)
    alike = interval(np.stack([images + 1] * 3))
    apart = interval(np.stack([images, images + 1, images + 2]))
    assert alike[0] == pytest.approx(1 - 1.96 * images.std() / 18**0.5, abs=0.03)
    assert apart[0] < alike[0] - 0.3
    assert apart[1] > alike[1] + 0.3


def test_the_table_compares_with_the_first_model() -> None:
    base = np.random.default_rng(0).normal(1.0, 1.0, (3, 18))
    lines = table({"plain": base, "better": base + 0.25}).splitlines()
    assert "| - | - |" in lines[2]
    assert "+0.25 [+0.25, +0.25] | 100% |" in lines[3]
