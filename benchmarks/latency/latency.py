"""Latency of several workloads, measured in alternating rounds after an adaptive warm-up; all samples are kept."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Work = Callable[[], object]
Clock = Callable[[Work], float]  # runs the work and returns its duration in ms

STEADY = 0.05  # largest relative difference between the medians of adjacent windows, or of first and last quarter
_WINDOW = 5


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """Limits for each workload: at most `runs` runs and at most `seconds` in total, distributed over `rounds` rounds.

    warm_up_seconds: upper bound of the warm-up, which ends as soon as the latency is steady.
    """

    runs: int = 100
    seconds: float = 10.0
    rounds: int = 5
    warm_up_seconds: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Samples in ms, one tuple per round, and the number of warm-up runs before them."""

    rounds_ms: tuple[tuple[float, ...], ...]
    warm_up_runs: int = 0

    @property
    def samples_ms(self) -> list[float]:
        return [sample for samples in self.rounds_ms for sample in samples]

    @property
    def p50_ms(self) -> float:
        return float(np.median(self.samples_ms))

    @property
    def drift(self) -> float:
        """Relative change of the median from the first to the last quarter of the samples: 0.1 is 10 % slower."""
        samples = self.samples_ms
        quarter = max(1, len(samples) // 4)
        return statistics.median(samples[-quarter:]) / statistics.median(samples[:quarter]) - 1

    def warnings(self) -> list[str]:
        """Reasons why the measurement is not stable, one sentence each; empty for a stable one."""
        found = []
        if abs(self.drift) > STEADY:
            direction = "slower" if self.drift > 0 else "faster"
            found.append(f"the last quarter of the runs was {abs(self.drift):.0%} {direction} than the first")
        medians = [statistics.median(samples) for samples in self.rounds_ms]
        spread = max(medians) / min(medians) - 1
        if spread > 2 * STEADY:
            found.append(f"the medians of the rounds differ by {spread:.0%}")
        return found

    def to_json(self) -> dict[str, Any]:
        """The latency as it is written to report.json: quantiles, mean, samples and warnings."""
        samples = self.samples_ms
        quantiles = {f"p{percent}_ms": round(float(np.percentile(samples, percent)), 4) for percent in (50, 90, 95, 99)}
        return quantiles | {
            "mean_ms": round(statistics.fmean(samples), 4),
            "std_ms": round(statistics.pstdev(samples), 4),
            "per_second": round(1e3 / statistics.fmean(samples), 3),
            "runs": len(samples),
            "warm_up_runs": self.warm_up_runs,
            "drift": round(self.drift, 4),
            "warnings": self.warnings(),
            "rounds_ms": [[round(sample, 4) for sample in samples] for samples in self.rounds_ms],
        }


def host_clock(work: Work) -> float:
    """Duration of a synchronous call in ms, by the host's clock; GPU work must wait for its own end."""
    begin = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - begin)


def measure(
    works: Mapping[str, Work],
    options: MeasureOptions | None = None,
    clock: Clock = host_clock,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, Latency]:
    """Measure each workload: name -> latency.

    All workloads run once per round, in reverse order every other round, so that a machine that slows down affects them
    alike. `progress` is called with the name before each step.
    """
    options = options or MeasureOptions()
    warm_ups = {}
    for name, work in works.items():
        progress(name)
        warm_ups[name] = _warm_up(work, clock, options.warm_up_seconds)
    rounds: dict[str, list[tuple[float, ...]]] = {name: [] for name in works}
    order = list(works)
    for _ in range(options.rounds):
        for name in order:
            progress(name)
            rounds[name].append(_round(works[name], clock, options))
        order.reverse()
    return {name: Latency(rounds_ms=tuple(rounds[name]), warm_up_runs=warm_ups[name]) for name in works}


def quantiles_ms(samples: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile of samples in ms: {"p50": ms, "p95": ms}."""
    return {f"p{percent}": round(float(np.percentile(samples, percent)), 4) for percent in (50, 95)}


def _warm_up(work: Work, clock: Clock, seconds: float) -> int:
    """Run until the medians of two adjacent windows of five runs agree, at most `seconds`; return the runs."""
    samples = [clock(work)]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        samples.append(clock(work))
        if len(samples) >= 2 * _WINDOW:
            before, last = samples[-2 * _WINDOW : -_WINDOW], samples[-_WINDOW:]
            if abs(statistics.median(last) / statistics.median(before) - 1) < STEADY:
                break
    return len(samples)


def _round(work: Work, clock: Clock, options: MeasureOptions) -> tuple[float, ...]:
    samples: list[float] = []
    end = time.perf_counter() + options.seconds / options.rounds
    while len(samples) < 2 or (len(samples) < options.runs / options.rounds and time.perf_counter() < end):
        samples.append(clock(work))
    return tuple(samples)


def ratio_of_rounds(other: Latency, ours: Latency) -> dict[str, float]:
    """Latency of `other` divided by that of `ours`, by the medians of each round: median, least and greatest ratio."""
    ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(other.rounds_ms, ours.rounds_ms, strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 4),
        "ratio_min": round(min(ratios), 4),
        "ratio_max": round(max(ratios), 4),
    }
