"""The measuring itself, with clocks that say what a test wants."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from amcnet.benchmarks.latency import Effort, Latency, Work, host_clock, measure, ratio_of_rounds


def _clock(samples: Iterator[float]) -> Callable[[Work], float]:
    def clock(work: Work) -> float:
        work()
        return next(samples)

    return clock


def test_quantiles_mean_and_throughput() -> None:
    latency = Latency(rounds_ms=(tuple(range(1, 51)), tuple(range(51, 101))))
    report = latency.to_json()
    assert report["p50_ms"] == 50.5
    assert report["p99_ms"] == pytest.approx(np.percentile(range(1, 101), 99))
    assert report["mean_ms"] == 50.5
    assert report["std_ms"] == pytest.approx(np.std(range(1, 101)), abs=1e-3)
    assert report["per_second"] == pytest.approx(1000 / 50.5, abs=1e-3)
    assert report["runs"] == 100


def test_warm_up_ends_when_it_is_steady_and_does_not_count() -> None:
    slow_start = iter([90.0, 70, 50, 30, 20, *[10.0] * 1000])
    latency = measure({"it": lambda: None}, Effort(runs=20, rounds=2), _clock(slow_start))["it"]
    assert latency.warm_up_runs == 13  # the first window of five whose median is that of the next five: 3 to 7
    assert latency.samples_ms == [10.0] * 20
    assert not latency.doubts()


def test_work_that_never_becomes_steady_is_measured_all_the_same() -> None:
    growing = iter(np.geomspace(1, 1e9, 100_000).tolist())
    latency = measure({"it": lambda: time.sleep(1e-3)}, Effort(runs=4, rounds=2, warm_up_seconds=0.05), _clock(growing))
    assert len(latency["it"].samples_ms) == 4


def test_slow_work_ends_after_its_seconds() -> None:
    effort = Effort(runs=1000, seconds=0.2, rounds=2, warm_up_seconds=0)
    latency = measure({"it": lambda: time.sleep(0.02)}, effort)["it"]
    assert 4 <= len(latency.samples_ms) <= 12
    assert latency.p50_ms >= 20


def test_rivals_take_turns_and_swap_places() -> None:
    calls: list[str] = []
    works = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    measure(works, Effort(runs=4, rounds=2, warm_up_seconds=0))
    assert "".join(calls[2:]) == "aabbbbaa"


def test_drift_is_noticed() -> None:
    latency = Latency(rounds_ms=((10.0,) * 10, (10.0,) * 10, (11.0,) * 10, (12.0,) * 10))
    assert latency.drift == pytest.approx(0.2)
    assert latency.doubts() == ["the last quarter was 20% slower", "the turns differed by 20%"]


def test_a_machine_that_slows_down_favours_nobody() -> None:
    # Both slow down alike from turn to turn; the second one takes twice as long throughout.
    ours = Latency(rounds_ms=((10.0, 10.0), (15.0, 15.0), (30.0, 30.0)))
    other = Latency(rounds_ms=((20.0, 20.0), (30.0, 30.0), (60.0, 60.0)))
    assert ratio_of_rounds(other, ours) == {"ratio": 2, "ratio_min": 2, "ratio_max": 2}


def test_the_host_clock_counts_milliseconds() -> None:
    assert 10 <= host_clock(lambda: time.sleep(0.01)) < 100
