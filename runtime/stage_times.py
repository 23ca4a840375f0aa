"""How long each stage of a frame took: quantiles from a histogram, so that memory does not grow with the video."""

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
    """`with times("decode"): …` adds one measurement, `quantiles_ms()` tells them. From any thread."""

    def __init__(self) -> None:
        self._counts: dict[str, NDArray[np.int64]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.add(stage, 1e3 * (time.perf_counter() - begin))

    def add(self, stage: str, latency_ms: float) -> None:
        position = _BINS_PER_DECADE * np.log10(max(latency_ms, _LEAST_MS) / _LEAST_MS)
        with self._lock:
            counts = self._counts.setdefault(stage, np.zeros(_BINS_PER_DECADE * _DECADES, np.int64))
            counts[min(int(position), len(counts) - 1)] += 1

    def quantiles_ms(self) -> dict[str, dict[str, float]]:
        """{stage: {"p50": ms, "p95": ms}} in the order in which the stages first came, to 1.2 %."""
        return {
            stage: {f"p{percent}": self._quantile_ms(counts, percent / 100) for percent in (50, 95)}
            for stage, counts in self._counts.items()
        }

    @staticmethod
    def _quantile_ms(counts: NDArray[np.int64], quantile: float) -> float:
        bin_index = int(np.searchsorted(np.cumsum(counts), quantile * counts.sum()))
        return round(float(_LEAST_MS * 10 ** ((bin_index + 0.5) / _BINS_PER_DECADE)), 3)
