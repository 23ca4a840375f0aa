"""The measurement loop, with clocks that return given durations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from amcnet.benchmarks.latency import latency as module
from amcnet.benchmarks.latency.latency import Latency, MeasureOptions, Work, host_clock, measure, ratio_of_rounds


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
    latency = measure({"it": lambda: None}, MeasureOptions(runs=20, rounds=2), _clock(slow_start))["it"]
    assert latency.warm_up_runs == 13  # the first window of five whose median is that of the next five: 3 to 7
    assert latency.samples_ms == [10.0] * 20
    assert not latency.warnings()


@pytest.fixture
def work_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Work]:
    """`work_of(seconds)` is work that takes so long, on a clock which stands still otherwise."""
    now_s = 100.0
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now_s))

    def of(seconds: float) -> Work:
        def work() -> None:
            nonlocal now_s
            now_s += seconds

        return work

    return of


def test_work_that_never_becomes_steady_is_measured_all_the_same(work_of: Callable[[float], Work]) -> None:
    growing = iter(np.geomspace(1, 1e9, 1000).tolist())
    options = MeasureOptions(runs=4, rounds=2, warm_up_seconds=0.5)
    latency = measure({"it": work_of(1 / 64)}, options, _clock(growing))["it"]
    assert latency.warm_up_runs == 33  # one, and 32 more in half a second
    assert len(latency.samples_ms) == 4


def test_slow_work_ends_after_its_seconds(work_of: Callable[[float], Work]) -> None:
    options = MeasureOptions(runs=1000, seconds=2, rounds=2, warm_up_seconds=0)
    latency = measure({"it": work_of(0.25)}, options)["it"]
    assert latency.samples_ms == [250] * 8  # four in each of two seconds


def test_workloads_alternate_and_reverse_their_order() -> None:
    calls: list[str] = []
    works = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    measure(works, MeasureOptions(runs=4, rounds=2, warm_up_seconds=0))
    assert "".join(calls[2:]) == "aabbbbaa"


def test_drift_is_a_warning() -> None:
    latency = Latency(rounds_ms=((10.0,) * 10, (10.0,) * 10, (11.0,) * 10, (12.0,) * 10))
    assert latency.drift == pytest.approx(0.2)
    assert latency.warnings() == [
        "the last quarter of the runs was 20% slower than the first",
        "the medians of the rounds differ by 20%",
    ]


def test_a_machine_that_slows_down_favors_nobody() -> None:
    # Both slow down alike from round to round; the second one takes twice as long throughout.
    ours = Latency(rounds_ms=((10.0, 10.0), (15.0, 15.0), (30.0, 30.0)))
    other = Latency(rounds_ms=((20.0, 20.0), (30.0, 30.0), (60.0, 60.0)))
    assert ratio_of_rounds(other, ours) == {"ratio": 2, "ratio_min": 2, "ratio_max": 2}


def test_the_host_clock_counts_milliseconds(work_of: Callable[[float], Work]) -> None:
    assert host_clock(work_of(0.125)) == 125
