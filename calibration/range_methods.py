"""Methods that choose the quantization range of a tensor from its statistics."""

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
_LEVELS = 128  # of |x| in INT8


def minmax(statistics: TensorStatistics) -> Range:
    """Return minimum and maximum over all frames."""
    return statistics.low, statistics.high


def percentile(statistics: TensorStatistics) -> Range:
    """Return the 0.01 and the 99.99 percentile."""
    low, high = np.percentile(statistics.sample, [100 - _PERCENTILE, _PERCENTILE])
    return float(low), float(high)


def entropy(statistics: TensorStatistics) -> Range:
    """Return the range whose quantization to 128 levels has the least Kullback-Leibler divergence from |x|.

    For each end of the range, the histogram up to it, with the values beyond added to its last bin, is compared with
    its 128-level form. Source: Migacz, 8-bit Inference with TensorRT, GTC 2017.
    """
    limit = max(abs(statistics.low), abs(statistics.high))
    if limit == 0:
        return 0.0, 0.0
    histogram = np.histogram(np.abs(statistics.sample), bins=_BINS, range=(0, limit))[0].astype(np.float64)
    # Zeros of a ReLU are exact in any range; counted, they would hide the loss of the other values.
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
    """Return the fraction of the sample outside `chosen`, 0 to 1."""
    sample = statistics.sample
    return float(np.mean((sample < np.float32(chosen[0])) | (sample > np.float32(chosen[1]))))


def _divergence(histogram: NDArray[np.float64], end: int) -> float:
    """Return the divergence, in nats, between the values clipped at bin `end` and their 128-level form."""
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
    # Bins that the 128 levels leave empty would give an infinite divergence: every bin gets at least 1e-6.
    return float(np.sum(expected[both] * np.log(expected[both] / np.maximum(found[both], 1e-6))))
