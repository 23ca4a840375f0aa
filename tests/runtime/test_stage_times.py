"""Quantiles from the histogram equal those of the samples within the width of a bin."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from amcnet.runtime import stage_times
from amcnet.runtime.stage_times import StageTimes

BIN = 10 ** (1 / 200) - 1  # 1.2 %


@pytest.mark.parametrize("count", [1, 2, 99, 1000])
def test_quantiles_equal_those_of_numpy(count: int) -> None:
    samples = np.random.default_rng(count).lognormal(1.0, 1.5, count)
    times = StageTimes()
    for sample in samples:
        times.add("network", sample)
    quantiles = times.quantiles_ms()["network"]
    expected = np.quantile(samples, [0.5, 0.95], method="inverted_cdf")
    assert [quantiles["p50"], quantiles["p95"]] == pytest.approx(expected, rel=BIN, abs=6e-4)


@pytest.mark.parametrize("latency_ms", [0.0, 1e-9, 1e9])
def test_times_of_any_length_have_quantiles(latency_ms: float) -> None:
    times = StageTimes()
    times.add("decode", latency_ms)
    p50 = times.quantiles_ms()["decode"]["p50"]
    assert p50 == pytest.approx(1e-3, rel=0.02) if latency_ms < 1 else p50 == pytest.approx(1e6, rel=0.02)


def test_a_block_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 100.03, 200.0, 200.002, 300.0])
    monkeypatch.setattr(stage_times, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    times = StageTimes()
    assert times.quantiles_ms() == {}
    with times("flow"):
        pass
    with times("decode"):
        pass
    with pytest.raises(KeyError), times("never finished"):
        raise KeyError
    quantiles = times.quantiles_ms()
    assert list(quantiles) == ["flow", "decode"]  # in the order in which they came
    assert quantiles["flow"]["p50"] == pytest.approx(30, rel=BIN)
    assert quantiles["decode"]["p50"] == pytest.approx(2, rel=BIN)
