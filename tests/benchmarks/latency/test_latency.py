"""The measurement loop, with clocks that return given durations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from amcnet.benchmarks.latency import latency as module
from amcnet.benchmarks.latency.latency import (
    Latency,
    MeasureOptions,
    Work,
    bootstrap_medians,
    host_clock,
    measure,
    ratio_of_rounds,
)


def _clock(samples: Iterator[float]) -> Callable[[Work], float]:
    def clock(work: Work) -> float:
        work()
        return next(samples)

    return clock


def test_quantiles_mean_and_throughput() -> None:
    latency = Latency(rounds_ms=(tuple(range(1, 51)), tuple(range(51, 101))))
    report = latency.to_json()
    assert report["p50_ms"] == 50.5
    assert report["p90_ms"] == pytest.approx(np.percentile(range(1, 101), 90))
    assert report["mean_ms"] == 50.5
    assert report["std_ms"] == pytest.approx(np.std(range(1, 101)), abs=1e-3)
    assert report["per_second"] == pytest.approx(1000 / 50.5, abs=1e-3)
    assert report["runs"] == 100


def test_percentiles_of_too_few_runs_are_left_out() -> None:
    def present(runs: int) -> list[str]:
        report = Latency(rounds_ms=((1.0,) * runs,)).to_json()
        return [name for name in ("p50_ms", "p90_ms", "p95_ms", "p99_ms") if report[name] is not None]

    assert present(10) == ["p50_ms"]
    assert present(199) == ["p50_ms", "p90_ms"]
    assert present(200) == ["p50_ms", "p90_ms", "p95_ms"]
    assert present(700) == ["p50_ms", "p90_ms", "p95_ms", "p99_ms"]


def test_rounds_are_added_until_the_median_is_accurate() -> None:
    options = MeasureOptions(runs=8, rounds=2, warm_up_seconds=0, stable_seconds=1e6)
    # The first two rounds differ by a tenth, the following ones are equal: the interval shrinks.
    samples = iter([10.0, *[10.0] * 4, *[11.0] * 4, *[10.0] * 10_000])
    latency = measure({"it": lambda: None}, options, _clock(samples))["it"]
    assert len(latency.rounds_ms) > 2
    assert latency.is_stable
    assert not Latency(rounds_ms=latency.rounds_ms[:2]).is_stable


def test_rounds_are_added_up_to_a_time_limit(work_of: Callable[[float], Work]) -> None:
    options = MeasureOptions(runs=4, rounds=2, warm_up_seconds=0, stable_seconds=10)
    restless = iter(np.geomspace(1, 1e9, 1000).tolist())
    latency = measure({"it": work_of(0.5)}, options, _clock(restless))["it"]
    assert len(latency.samples_ms) == 20  # the warm-up and these take 10.5 s
    assert not latency.is_stable


def test_the_time_left_is_known_after_the_warm_up(work_of: Callable[[float], Work]) -> None:
    left: list[float] = []
    options = MeasureOptions(runs=8, seconds=100, rounds=2, warm_up_seconds=0.75)
    measure(
        {"a": work_of(0.25), "b": work_of(0.5)}, options, progress=lambda text, left_s=None: left.append(left_s or 0)
    )
    assert left == [2 * 0.75 + 2 * 100, 0.75 + 2 * (1 + 50), 2 * (1 + 2), 2 + (1 + 2), 1 + 2, 1]


def test_a_quick_measurement_takes_as_long_for_many_workloads() -> None:
    for workloads in (1, 3, 30):
        quick = MeasureOptions.quick(workloads)
        assert workloads * (quick.seconds + quick.warm_up_seconds) < 40


def test_bootstrap_samples_are_medians_of_resampled_rounds() -> None:
    medians = bootstrap_medians([[1.0, 1.0, 1.0], [2.0], [4.0, 4.0]], 0)
    # Each draw has three of the rounds, whole: the middle of its values, or the mean of the two middle ones.
    assert set(medians) <= {1.0, 1.5, 2.0, 2.5, 3.0, 4.0}
    assert {1.0, 2.0, 4.0} <= set(medians)
    low, high = np.percentile(bootstrap_medians([list(range(100))] * 2, 0), (2.5, 97.5))
    assert low < 49.5 < high


def test_warm_up_ends_when_times_are_stable_and_is_not_counted() -> None:
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


def test_work_that_never_becomes_stable_is_measured(work_of: Callable[[float], Work]) -> None:
    growing = iter(np.geomspace(1, 1e9, 1000).tolist())
    options = MeasureOptions(runs=4, rounds=2, warm_up_seconds=0.5)
    latency = measure({"it": work_of(1 / 64)}, options, _clock(growing))["it"]
    assert latency.warm_up_runs == 33  # one, and 32 more in half a second
    assert len(latency.samples_ms) == 4


def test_slow_work_ends_after_the_time_limit(work_of: Callable[[float], Work]) -> None:
    options = MeasureOptions(runs=1000, seconds=2, rounds=2, warm_up_seconds=0)
    latency = measure({"it": work_of(0.25)}, options)["it"]
    assert latency.samples_ms == [250] * 8  # four in each of two seconds


def test_workloads_alternate_in_both_orders() -> None:
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


def test_a_machine_that_slows_down_favors_no_workload() -> None:
    # Both slow down alike from round to round; the second one takes twice as long throughout.
    ours = Latency(rounds_ms=((10.0, 10.0), (15.0, 15.0), (30.0, 30.0)))
    other = Latency(rounds_ms=((20.0, 20.0), (30.0, 30.0), (60.0, 60.0)))
    assert ratio_of_rounds(other, ours) == {"ratio": 2, "ratio_min": 2, "ratio_max": 2}


def test_the_host_clock_counts_milliseconds(work_of: Callable[[float], Work]) -> None:
    assert host_clock(work_of(0.125)) == 125
