"""Comparison of two reports: equal, slower, or too noisy for a conclusion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amcnet.benchmarks.latency.bench import SCHEMA
from amcnet.benchmarks.latency.compare import compare, comparison_table, machine_change
from amcnet.benchmarks.latency.latency import Latency
from amcnet.runtime.errors import InputError


def _report(
    path: Path,
    rounds_ms: Any,
    *,
    stable: bool = True,
    name: str = "a.onnx",
    machine_ms: float = 7.0,
    processor: str = "A",
    peak: float = 1e11,
) -> Path:
    latency = Latency(rounds_ms=tuple(map(tuple, rounds_ms))).to_json()
    row = {"runtime": "fast", "latency": latency, "stable": stable}
    machine = Latency(rounds_ms=((machine_ms,) * 4,) * 5).to_json()
    report = {
        "schema": SCHEMA,
        "environment": {"processor": processor, "cores": 2, "gpu": None},
        "measured_peaks": {"flops_per_second": {"fp32": peak, "int8": 9 * peak}},
        "reference": machine,
        "networks": [{"name": name, "precision": "fp32", "rows": [row]}],
        "frame": None,
    }
    path.write_text(json.dumps(report))
    return path


def _rounds(mean_ms: float, seed: int, wobble: float = 0.0) -> Any:
    """Five rounds of twenty runs: 2 % noise, and `wobble` from round to round."""
    rng = np.random.default_rng(seed)
    return mean_ms * rng.normal(1, wobble, (5, 1)) * rng.normal(1, 0.02, (5, 20))


def test_two_equal_reports_do_not_differ(tmp_path: Path) -> None:
    (row,) = compare(_report(tmp_path / "a", _rounds(10, 1)), _report(tmp_path / "b", _rounds(10, 2)))
    assert row.verdict == "not significant"
    assert row.low < 0 < row.high
    assert not row.is_regression(0)


def test_slower_and_faster_files_are_recognized(tmp_path: Path) -> None:
    a, b = _report(tmp_path / "a", _rounds(10, 1)), _report(tmp_path / "b", _rounds(12, 2))
    (slower,), (faster,) = compare(a, b), compare(b, a)
    assert (slower.verdict, faster.verdict) == ("slower", "faster")
    assert slower.change == pytest.approx(0.2, abs=0.02)
    assert slower.low < 0.2 < slower.high
    assert slower.is_regression(0.05)
    assert not slower.is_regression(0.25)
    assert not faster.is_regression(0)


def test_a_slower_machine_is_no_regression(tmp_path: Path) -> None:
    a = _report(tmp_path / "a", _rounds(10, 1), machine_ms=7)
    b = _report(tmp_path / "b", _rounds(12, 2), machine_ms=8.4)
    (row,) = compare(a, b)
    assert machine_change(a, b) == pytest.approx(0.2)
    assert (row.first_ms, row.second_ms) == pytest.approx((10, 12), rel=0.02)
    assert row.change == pytest.approx(0, abs=0.02)
    assert row.verdict == "not significant"


def test_reports_of_two_machines_are_compared_by_their_peaks_only(tmp_path: Path) -> None:
    a = _report(tmp_path / "a", _rounds(10, 1), processor="A", peak=1e11)
    b = _report(tmp_path / "b", _rounds(6, 2), processor="B", peak=2e11)
    with pytest.raises(InputError, match=r"of A \(2 cores\), .* of B \(2 cores\); .* Fix: --across-machines"):
        compare(a, b)
    (row,) = compare(a, b, across_machines=True)
    assert row.change == pytest.approx(0.2, abs=0.02)  # twice the peak, 6 / 10 of the time
    assert row.verdict == "slower"


def test_rounds_that_differ_widen_the_interval(tmp_path: Path) -> None:
    quiet = compare(_report(tmp_path / "a", _rounds(10, 1)), _report(tmp_path / "b", _rounds(10.5, 2)))
    noisy = compare(_report(tmp_path / "c", _rounds(10, 1, 0.1)), _report(tmp_path / "d", _rounds(10.5, 2, 0.1)))
    assert quiet[0].verdict == "slower"
    assert noisy[0].verdict == "not significant"
    assert noisy[0].high - noisy[0].low > 3 * (quiet[0].high - quiet[0].low)


def test_the_table_marks_unstable_rows_and_regressions(tmp_path: Path) -> None:
    differences = compare(
        _report(tmp_path / "a", _rounds(10, 1)), _report(tmp_path / "b", _rounds(20, 2), stable=False)
    )
    table = comparison_table(differences, tolerance=0.05)
    assert "a.onnx: fast" in table
    assert "slower REGRESSION (unstable run)" in table
    assert "REGRESSION" not in comparison_table(differences, tolerance=2)


def test_other_files_are_refused(tmp_path: Path) -> None:
    report = _report(tmp_path / "a", _rounds(10, 1))
    (tmp_path / "b").write_text("{}")
    with pytest.raises(
        InputError, match=r"not a report of this version of amc-bench: got schema None, expected 2\. Fix"
    ):
        compare(report, tmp_path / "b")
    with pytest.raises(InputError, match="cannot be read"):
        compare(report, tmp_path / "missing")
    with pytest.raises(InputError, match="no row is in both reports"):
        compare(report, _report(tmp_path / "c", _rounds(10, 1), name="other.onnx"))
