"""Latency of several workloads, measured in alternating rounds after an adaptive warm-up; all samples are kept."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .progress import Report

Work = Callable[[], object]
Clock = Callable[[Work], float]  # runs the work and returns its duration in ms

STEADY = 0.05  # largest relative difference between the medians of adjacent windows, or of first and last quarter
STABLE = 0.02  # largest width of the 95 % interval of the median, relative to the median, with `stable_seconds`
# Fewer runs do not bound a percentile: MLPerf Inference requires 64 queries for the 90th and 662 for the 99th.
MIN_RUNS = {50: 1, 90: 64, 95: 200, 99: 700}
_WINDOW = 5
_LEAST_RUNS = 2  # of each workload in a round
_DRAWS, _DRAWS_AT_ONCE = 2000, 100  # of the bootstrap, which takes 8 bytes for each run of the draws at once


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """Limits for each workload: at most `runs` runs and at most `seconds` in total, distributed over `rounds` rounds.

    warm_up_seconds: upper bound of the warm-up, which ends as soon as the latency is steady. stable_seconds: add rounds
    until the 95 % interval of each median is narrower than 2 %, at most for this time in all; None: add none.
    """

    runs: int = 200
    seconds: float = 10.0
    rounds: int = 5
    warm_up_seconds: float = 5.0
    stable_seconds: float | None = None

    @property
    def least_runs(self) -> int:
        """Runs of a workload that is too slow for any limit."""
        return 1 + self.rounds * _LEAST_RUNS

    @classmethod
    def quick(cls, workloads: int) -> MeasureOptions:
        """Limits for a measurement of `workloads` in about half a minute."""
        return cls(runs=60, seconds=min(3.0, 25 / workloads), rounds=3, warm_up_seconds=min(1.0, 8 / workloads))


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

    @property
    def median_interval_ms(self) -> tuple[float, float]:
        """95 % confidence interval of the median, by `bootstrap_medians`."""
        low, high = np.percentile(bootstrap_medians(self.rounds_ms, 0), (2.5, 97.5))
        return float(low), float(high)

    @property
    def is_stable(self) -> bool:
        """Whether the interval of the median is narrower than 2 % of the median."""
        low, high = self.median_interval_ms
        return high - low <= STABLE * self.p50_ms

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
        """The latency as it is written to report.json: quantiles (None with too few runs), mean, samples, warnings."""
        samples = self.samples_ms
        return {f"p{percent}_ms": quantile(samples, percent) for percent in MIN_RUNS} | {
            "median_interval_ms": [round(end, 4) for end in self.median_interval_ms],
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
    progress: Report = lambda text, left_s=None: None,
) -> dict[str, Latency]:
    """Measure each workload: name -> latency.

    All workloads run once per round, in reverse order every other round, so that a machine that slows down affects them
    alike. `progress` is called with the name and the seconds left before each step.
    """
    options = options or MeasureOptions()
    begin = time.perf_counter()
    round_s = dict.fromkeys(works, options.seconds / options.rounds)
    warm_ups = {}
    for done, (name, work) in enumerate(works.items()):
        progress(name, (len(works) - done) * options.warm_up_seconds + options.rounds * sum(round_s.values()))
        samples = _warm_up(work, clock, options.warm_up_seconds)
        warm_ups[name] = len(samples)
        round_s[name] = _expected_seconds(statistics.median(samples[-_WINDOW:]) / 1e3, options)
    rounds: dict[str, list[tuple[float, ...]]] = {name: [] for name in works}
    order = list(works)
    while len(rounds[order[0]]) < options.rounds or _needs_more(rounds, options, time.perf_counter() - begin):
        for done, name in enumerate(order):
            later = max(options.rounds - len(rounds[name]) - 1, 0) * sum(round_s.values())
            progress(name, later + sum(round_s[other] for other in order[done:]))
            rounds[name].append(_round(works[name], clock, options))
        order.reverse()
    return {name: Latency(rounds_ms=tuple(rounds[name]), warm_up_runs=warm_ups[name]) for name in works}


def _needs_more(rounds: Mapping[str, list[tuple[float, ...]]], options: MeasureOptions, spent_s: float) -> bool:
    """Whether `stable_seconds` asks for another round."""
    if options.stable_seconds is None or spent_s >= options.stable_seconds:
        return False
    return not all(Latency(rounds_ms=tuple(samples)).is_stable for samples in rounds.values())


def _expected_seconds(run_s: float, options: MeasureOptions) -> float:
    """Duration of a round of a workload whose run takes `run_s`."""
    return max(_LEAST_RUNS * run_s, min(options.runs * run_s, options.seconds) / options.rounds)


def quantile(samples: Sequence[float], percent: int) -> float | None:
    """The percentile of `samples`, or None if they are fewer than MIN_RUNS."""
    return None if len(samples) < MIN_RUNS[percent] else round(float(np.percentile(samples, percent)), 4)


def quantiles_ms(samples: Sequence[float]) -> dict[str, float | None]:
    """Median and 95th percentile of samples in ms: {"p50": ms, "p95": ms}; None with too few samples."""
    return {f"p{percent}": quantile(samples, percent) for percent in (50, 95)}


def bootstrap_medians(rounds_ms: Sequence[Sequence[float]], seed: int) -> NDArray[np.float64]:
    """Bootstrap samples of the median: rounds are resampled first, then the runs within each.

    Runs of one round are correlated, so resampling the runs alone would give intervals that are too narrow.
    """
    rng = np.random.default_rng(seed)
    runs = np.array([len(samples) for samples in rounds_ms])
    padded = np.full((len(runs), runs.max()), np.inf)
    for row, samples in zip(padded, rounds_ms, strict=True):
        row[: len(samples)] = samples
    return np.concatenate([_medians_of_draws(padded, runs, rng) for _ in range(_DRAWS // _DRAWS_AT_ONCE)])


def _medians_of_draws(
    padded: NDArray[np.float64], runs: NDArray[np.int_], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Medians of `_DRAWS_AT_ONCE` draws. padded: (rounds, most runs), each row with infinity after its `runs`."""
    rounds, most = padded.shape
    chosen = rng.integers(rounds, size=(_DRAWS_AT_ONCE, rounds, 1))
    run = np.floor(rng.random((_DRAWS_AT_ONCE, rounds, most)) * runs[chosen]).astype(np.int_)
    drawn = np.where(np.arange(most) < runs[chosen], padded[chosen, run], np.inf)
    ordered = np.sort(drawn.reshape(_DRAWS_AT_ONCE, -1), axis=1)
    count = runs[chosen[..., 0]].sum(axis=1)
    draws = np.arange(_DRAWS_AT_ONCE)
    middle: NDArray[np.float64] = (ordered[draws, (count - 1) // 2] + ordered[draws, count // 2]) / 2
    return middle


def _warm_up(work: Work, clock: Clock, seconds: float) -> list[float]:
    """Run until the medians of two adjacent windows of five runs agree, at most `seconds`; return the samples in ms."""
    samples = [clock(work)]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        samples.append(clock(work))
        if len(samples) >= 2 * _WINDOW:
            before, last = samples[-2 * _WINDOW : -_WINDOW], samples[-_WINDOW:]
            if abs(statistics.median(last) / statistics.median(before) - 1) < STEADY:
                break
    return samples


def _round(work: Work, clock: Clock, options: MeasureOptions) -> tuple[float, ...]:
    samples: list[float] = []
    end = time.perf_counter() + options.seconds / options.rounds
    while len(samples) < _LEAST_RUNS or (len(samples) < options.runs / options.rounds and time.perf_counter() < end):
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
