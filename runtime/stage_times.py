"""Latency quantiles of each stage of a frame, from histograms of constant size."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

_BINS_PER_DECADE = 200  # a bin is 1.2 % wide
_LEAST_MS = 1e-3
_DECADES = 9


class StageTimes:
    """Latency histograms of named stages. Thread-safe; memory does not grow with the number of measurements.

    times = StageTimes()
    with times("decode"):
        ...
    times.quantiles_ms()  # {"decode": {"p50": 1.2, "p95": 1.9}}
    """

    def __init__(self) -> None:
        self._counts: dict[str, NDArray[np.int64]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Measure the block and add its duration to `stage`, unless it raises."""
        begin = time.perf_counter()
        yield
        self.add(stage, 1e3 * (time.perf_counter() - begin))

    def add(self, stage: str, latency_ms: float) -> None:
        """Add one measurement, clamped to the histogram's range of 1e-3 to 1e6 ms."""
        position = _BINS_PER_DECADE * np.log10(max(latency_ms, _LEAST_MS) / _LEAST_MS)
        with self._lock:
            counts = self._counts.setdefault(stage, np.zeros(_BINS_PER_DECADE * _DECADES, np.int64))
            counts[min(int(position), len(counts) - 1)] += 1

    def quantiles_ms(self) -> dict[str, dict[str, float]]:
        """Return {stage: {"p50": ms, "p95": ms}}, accurate to 1.2 %, in the order of the stages' first measurement."""
        return {
            stage: {f"p{percent}": self._quantile_ms(counts, percent / 100) for percent in (50, 95)}
            for stage, counts in self._counts.items()
        }

    @staticmethod
    def _quantile_ms(counts: NDArray[np.int64], quantile: float) -> float:
        bin_index = int(np.searchsorted(np.cumsum(counts), quantile * counts.sum()))
        return round(float(_LEAST_MS * 10 ** ((bin_index + 0.5) / _BINS_PER_DECADE)), 3)
