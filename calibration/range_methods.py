"""Which part of a tensor's values 8 bits shall tell apart: the ways to choose a range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .statistics import TensorStatistics

Range = tuple[float, float]
Method = Literal["minmax", "percentile", "entropy"]
_PERCENTILE = 99.99
_BINS = 2048  # of the histogram of |x|
_LEVELS = 128  # of |x| in 8 bits


def minmax(statistics: TensorStatistics) -> Range:
    """All that was seen."""
    return statistics.low, statistics.high


def percentile(statistics: TensorStatistics) -> Range:
    """All but the outermost 0.01 % at either end."""
    low, high = np.percentile(statistics.sample, [100 - _PERCENTILE, _PERCENTILE])
    return float(low), float(high)


def entropy(statistics: TensorStatistics) -> Range:
    """Cut where 128 levels tell the most about |x|: the least Kullback-Leibler divergence from its distribution.

    Migacz, 8-bit Inference with TensorRT, GTC 2017: for each end, the histogram up to there, what lies beyond it added
    to its last bin, against the same in 128 steps.
    """
    limit = max(abs(statistics.low), abs(statistics.high))
    if limit == 0:
        return 0.0, 0.0
    histogram = np.histogram(np.abs(statistics.sample), bins=_BINS, range=(0, limit))[0].astype(np.float64)
    # ReLU's zeros are told exactly by any scale; counted, they would hide what the rest loses.
    histogram[0] = histogram[1]
    ends = range(_LEVELS, _BINS + 1, _LEVELS // 8)
    best = min(ends, key=lambda end: _divergence(histogram, end))
    cut = limit * best / _BINS
    return max(statistics.low, -cut), min(statistics.high, cut)


METHODS: dict[Method, Callable[[TensorStatistics], Range]] = {
    "minmax": minmax,
    "percentile": percentile,
    "entropy": entropy,
}


def saturated(statistics: TensorStatistics, chosen: Range) -> float:
    """The share of the sample that lies outside `chosen`, 0 to 1."""
    sample = statistics.sample
    return float(np.mean((sample < np.float32(chosen[0])) | (sample > np.float32(chosen[1]))))


def _divergence(histogram: NDArray[np.float64], end: int) -> float:
    """Of the values cut at bin `end` from their form in 128 levels, in nats."""
    inside = histogram[:end]
    expected = inside.copy()
    expected[-1] += histogram[end:].sum()
    level = np.arange(end) * _LEVELS // end
    used = inside > 0
    per_level = np.bincount(level, inside, _LEVELS) / np.maximum(np.bincount(level, used, _LEVELS), 1)
    found = np.where(used, per_level[level], 0)
    if not found.any():
        return np.inf
    expected, found = expected / expected.sum(), found / found.sum()
    both = expected > 0
    # What the 128 levels do not have at all would be infinitely surprising; a little is spread over every bin.
    return float(np.sum(expected[both] * np.log(expected[both] / np.maximum(found[both], 1e-6))))
