"""Statistics against closed forms, scipy and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from restorekit.benchmark.intervals import (
    differences,
    holm,
    mean_interval,
    paired_tests,
    share_worse,
    wilcoxon,
    worst,
)


def test_interval_agrees_with_scipy_bootstrap():
    from scipy.stats import bootstrap

    values = np.random.default_rng(3).normal(30, 4, 60)
    mine = mean_interval(values)
    theirs = bootstrap((values,), np.mean, n_resamples=20000, method="percentile", rng=1).confidence_interval
    assert mine.mean == pytest.approx(values.mean())
    assert mine.low == pytest.approx(theirs.low, abs=0.06)
    assert mine.high == pytest.approx(theirs.high, abs=0.06)
    assert mine == mean_interval(values)  # seeded


def test_interval_covers_the_true_mean_about_95_percent_of_the_time():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        interval = mean_interval(generator.normal(0, 1, 50))
        covered += interval.low <= 0 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_chunked_resampling_keeps_the_count(monkeypatch):
    from restorekit.benchmark import intervals as statistics

    values = np.arange(7.0)
    monkeypatch.setattr(statistics, "_CHUNK", 21)
    means = statistics.bootstrap_means(values, resamples=100)
    assert means.shape == (100,)
    assert means.mean() == pytest.approx(3.0, abs=0.4)


def test_infinite_psnr_is_left_out_and_counted():
    interval = mean_interval([30.0, 32.0, math.inf])
    assert (interval.mean, interval.count, interval.infinite) == (31.0, 2, 1)
    only = mean_interval([math.inf])
    assert math.isnan(only.mean)
    assert only.infinite == 1


def test_single_image_has_a_mean_and_no_interval():
    interval = mean_interval([28.5])
    assert interval.mean == 28.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_nan_score_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        mean_interval([1.0, math.nan])


def test_differences_of_infinities():
    inf = math.inf
    assert differences([inf, inf, 30.0], [inf, 30.0, inf]).tolist() == [0.0, inf, -inf]
    with pytest.raises(ValueError, match="same images"):
        differences([1.0], [1.0, 2.0])


def test_share_worse_and_worst():
    gains = np.array([1.0, -2.0, 0.0, -math.inf])
    assert share_worse(gains) == 0.5
    assert worst(["a", "b", "c", "d"], gains, 2) == [("d", -math.inf), ("b", -2.0)]


def test_wilcoxon_against_the_exact_enumeration():
    gains = np.array([0.5, 1.2, -0.3, 2.2, 3.1, -0.9, 4.0])
    ranks = np.argsort(np.argsort(np.abs(gains))) + 1
    observed = ranks[gains > 0].sum()
    sums = [sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in itertools.product((0, 1), repeat=7)]
    upper = np.mean([s >= observed for s in sums])
    lower = np.mean([s <= observed for s in sums])
    assert wilcoxon(gains) == pytest.approx(2 * min(upper, lower))


def test_wilcoxon_takes_infinite_gains_as_the_largest():
    assert wilcoxon(np.array([1.0, 2.0, 3.0, math.inf])) == wilcoxon(np.array([1.0, 2.0, 3.0, 9.0]))
    assert wilcoxon(np.zeros(5)) == 1.0


def test_holm_against_the_textbook():
    # 4 x 0.005, 3 x 0.01, 2 x 0.03 and then not below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_paired_tests_find_the_better_model_only_when_it_is():
    generator = np.random.default_rng(1)
    base = generator.normal(25, 5, 40)
    scores = {"a": base, "b": base + generator.normal(0.5, 0.3, 40), "c": base + generator.normal(0, 0.3, 40)}
    found = {(t.first, t.second): t for t in paired_tests(scores)}
    assert found["a", "b"].adjusted < 1e-4
    assert found["a", "b"].median_difference < 0
    assert found["a", "c"].adjusted > 0.05
    assert all(t.adjusted >= t.p for t in found.values())
