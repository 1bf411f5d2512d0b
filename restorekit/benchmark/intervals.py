"""Statistics over per-image scores: bootstrap intervals, paired gains, paired tests with Holm correction.

A PSNR is infinite when an image equals the clean one exactly. Infinite values have no finite mean, so means
and intervals are taken over the finite values and the number left out is reported beside them; ranks and
comparisons ("worse than the input") use all of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

RESAMPLES = 10_000
LEVEL = 0.95
_CHUNK = 4_000_000  # indices drawn at once: bounds the memory to some 64 MB


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap interval, over `count` finite values; `infinite` more were left out.

    `low` and `high` are NaN below two finite values; `mean` is NaN without any.
    """

    mean: float
    low: float
    high: float
    count: int
    infinite: int = 0


@dataclass(frozen=True)
class PairedTest:
    """Wilcoxon signed-rank test of two models on the same images; `adjusted` is the p value after Holm."""

    first: str
    second: str
    median_difference: float
    p: float
    adjusted: float


def bootstrap_means(values: Values, resamples: int = RESAMPLES, seed: int = 0) -> Values:
    """Return the means of `resamples` samples drawn with replacement from `values` [N]: [resamples]."""
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // len(values))
    means = [
        values[generator.integers(0, len(values), (min(rows, resamples - start), len(values)))].mean(axis=1)
        for start in range(0, resamples, rows)
    ]
    return np.concatenate(means)


def mean_interval(values: Sequence[float] | Values, level: float = LEVEL, seed: int = 0) -> Interval:
    """Return mean and percentile bootstrap interval (Efron 1979) of the finite `values`; seeded.

    Raises `ValueError` for a NaN: a score that does not exist must not reach a mean.
    """
    given = np.asarray(values, dtype=np.float64)
    if np.isnan(given).any():
        raise ValueError("a score is NaN; a mean over it would be meaningless")
    finite = given[np.isfinite(given)]
    infinite = len(given) - len(finite)
    if len(finite) == 0:
        return Interval(math.nan, math.nan, math.nan, 0, infinite)
    if len(finite) == 1:
        return Interval(float(finite[0]), math.nan, math.nan, 1, infinite)
    tail = (1 - level) / 2
    low, high = np.quantile(bootstrap_means(finite, seed=seed), (tail, 1 - tail))
    return Interval(float(finite.mean()), float(low), float(high), len(finite), infinite)


def differences(scores: Sequence[float] | Values, reference: Sequence[float] | Values) -> Values:
    """Return `scores` - `reference`, image by image; two infinite scores of one sign differ by 0."""
    first, second = np.asarray(scores, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"paired scores must be of the same images: {first.shape} against {second.shape}")
    result = np.zeros_like(first)
    np.subtract(first, second, out=result, where=first != second)
    return result


def share_worse(gains: Values) -> float:
    """Return the share of images, in [0, 1], with a gain below 0."""
    return float((gains < 0).mean()) if len(gains) else math.nan


def worst(names: Sequence[str], gains: Values, k: int) -> list[tuple[str, float]]:
    """Return the `k` images with the smallest gain, worst first; ties in the order given."""
    order = np.argsort(gains, kind="stable")[:k]
    return [(names[i], float(gains[i])) for i in order]


def wilcoxon(gains: Values) -> float:
    """Return the two-sided p value of the Wilcoxon signed-rank test that the median of `gains` is 0.

    Zero differences are dropped (Wilcoxon's own treatment); infinite ones take the outermost ranks. Without
    any non-zero difference p is 1.
    """
    from scipy.stats import wilcoxon as signed_rank

    finite = np.abs(gains[np.isfinite(gains)])
    bound = 2 * (float(finite.max()) if len(finite) else 0.0) + 1
    ranked = np.clip(gains, -bound, bound)
    ranked = ranked[ranked != 0]
    return float(signed_rank(ranked).pvalue) if len(ranked) else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number (Holm 1979, step-down), in the order given."""
    count = len(p_values)
    adjusted = [0.0] * count
    running = 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def paired_tests(scores: Mapping[str, Values]) -> list[PairedTest]:
    """Test every pair of models on the same images; `scores`: model -> [N], Holm over all pairs."""
    pairs = list(itertools.combinations(scores, 2))
    gains = [differences(scores[a], scores[b]) for a, b in pairs]
    p_values = [wilcoxon(gain) for gain in gains]
    return [
        PairedTest(a, b, float(np.median(gain)), p, adjusted)
        for (a, b), gain, p, adjusted in zip(pairs, gains, p_values, holm(p_values), strict=True)
    ]
