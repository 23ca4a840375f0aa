"""How long a piece of work takes: warmed up until it is steady, measured in turns with its rivals, with all samples."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Work = Callable[[], object]
Clock = Callable[[Work], float]  # does the work and says how many ms it took

STEADY = 0.05  # how far the medians of neighboring windows, or of first and last quarter, may differ
_WINDOW = 5


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """How long to measure each piece of work: `runs`, or fewer that take `seconds`, spread over `rounds` turns.

    warm_up_seconds: the most to wait for it to become steady.
    """

    runs: int = 100
    seconds: float = 10.0
    rounds: int = 5
    warm_up_seconds: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Latency:
    """The samples in ms, one tuple for each turn, and how many runs went before them."""

    rounds_ms: tuple[tuple[float, ...], ...]
    warm_up_runs: int = 0

    @property
    def samples_ms(self) -> list[float]:
        return [sample for turn in self.rounds_ms for sample in turn]

    @property
    def p50_ms(self) -> float:
        return float(np.median(self.samples_ms))

    @property
    def drift(self) -> float:
        """How much slower the last quarter is than the first one, by their medians: 0.1 is 10 %."""
        samples = self.samples_ms
        quarter = max(1, len(samples) // 4)
        return statistics.median(samples[-quarter:]) / statistics.median(samples[:quarter]) - 1

    def doubts(self) -> list[str]:
        """What speaks against these figures, in words; empty for a steady measurement."""
        found = []
        if abs(self.drift) > STEADY:
            found.append(f"the last quarter was {abs(self.drift):.0%} {'slower' if self.drift > 0 else 'faster'}")
        medians = [statistics.median(turn) for turn in self.rounds_ms]
        spread = max(medians) / min(medians) - 1
        if spread > 2 * STEADY:
            found.append(f"the turns differed by {spread:.0%}")
        return found

    def to_json(self) -> dict[str, Any]:
        """What stands in report.json."""
        samples = self.samples_ms
        quantiles = {f"p{percent}_ms": round(float(np.percentile(samples, percent)), 4) for percent in (50, 90, 95, 99)}
        return quantiles | {
            "mean_ms": round(statistics.fmean(samples), 4),
            "std_ms": round(statistics.pstdev(samples), 4),
            "per_second": round(1e3 / statistics.fmean(samples), 3),
            "runs": len(samples),
            "warm_up_runs": self.warm_up_runs,
            "drift": round(self.drift, 4),
            "doubts": self.doubts(),
            "rounds_ms": [[round(sample, 4) for sample in turn] for turn in self.rounds_ms],
        }


def host_clock(work: Work) -> float:
    """For work that is done when its call returns: all that computes on the CPU, and GPU work that waits for itself."""
    begin = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - begin)


def measure(
    works: Mapping[str, Work],
    effort: MeasureOptions | None = None,
    clock: Clock = host_clock,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, Latency]:
    """The latency of each piece of work, by name.

    They take turns, in reverse order every other time, so that a machine that slows down favors none of them.
    """
    effort = effort or MeasureOptions()
    warm_ups = {}
    for name, work in works.items():
        progress(name)
        warm_ups[name] = _warm_up(work, clock, effort.warm_up_seconds)
    turns: dict[str, list[tuple[float, ...]]] = {name: [] for name in works}
    order = list(works)
    for _ in range(effort.rounds):
        for name in order:
            progress(name)
            turns[name].append(_turn(works[name], clock, effort))
        order.reverse()
    return {name: Latency(rounds_ms=tuple(turns[name]), warm_up_runs=warm_ups[name]) for name in works}


def quantiles_ms(samples: Sequence[float]) -> dict[str, float]:
    """{"p50": ms, "p95": ms} of some ms."""
    return {f"p{percent}": round(float(np.percentile(samples, percent)), 4) for percent in (50, 95)}


def _warm_up(work: Work, clock: Clock, seconds: float) -> int:
    """Run until two windows of five agree, or the time is over; how many runs it took."""
    samples = [clock(work)]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        samples.append(clock(work))
        if len(samples) >= 2 * _WINDOW:
            before, last = samples[-2 * _WINDOW : -_WINDOW], samples[-_WINDOW:]
            if abs(statistics.median(last) / statistics.median(before) - 1) < STEADY:
                break
    return len(samples)


def _turn(work: Work, clock: Clock, effort: MeasureOptions) -> tuple[float, ...]:
    samples: list[float] = []
    end = time.perf_counter() + effort.seconds / effort.rounds
    while len(samples) < 2 or (len(samples) < effort.runs / effort.rounds and time.perf_counter() < end):
        samples.append(clock(work))
    return tuple(samples)


def ratio_of_rounds(other: Latency, ours: Latency) -> dict[str, float]:
    """How much longer `other` takes: the median over the turns of the ratio of the medians, the least and the most."""
    ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(other.rounds_ms, ours.rounds_ms, strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 4),
        "ratio_min": round(min(ratios), 4),
        "ratio_max": round(max(ratios), 4),
    }
