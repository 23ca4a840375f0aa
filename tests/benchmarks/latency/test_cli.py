"""The options of amc-bench, without a measurement."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from amcnet.benchmarks.latency import cli
from amcnet.benchmarks.latency.options import BenchOptions
from amcnet.runtime.errors import InputError


@pytest.fixture
def options_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`options_of(*arguments)`: the options that `amc-bench` measures with."""
    found: list[BenchOptions] = []

    def bench(options: BenchOptions, *_: object) -> Any:
        found.append(options)
        raise InputError("not measured")

    monkeypatch.setattr(cli, "bench", bench)

    def run(*arguments: str) -> BenchOptions:
        monkeypatch.setattr(sys, "argv", ["amc-bench", "-o", str(tmp_path / "report"), *arguments])
        assert cli.main() == 2
        return found[-1]

    return run


def test_quick_and_stable_set_the_length_of_a_measurement(options_of: Any, capsys: pytest.CaptureFixture[str]) -> None:
    usual, quick = options_of(), options_of("--quick")
    assert (usual.measure.stable_seconds, usual.quick, usual.limit_s) == (None, False, 120)
    assert quick.quick
    assert quick.limit_s < usual.limit_s
    assert quick.least_runs < usual.least_runs
    assert options_of("--stable").measure.stable_seconds == 300
    assert options_of("--stable", "60").measure.stable_seconds == 60
    assert options_of("--baseline-limit", "30").limit_s == 30
    with pytest.raises(SystemExit, match="2"):
        options_of("--quick", "--stable")
    assert "not allowed with argument" in capsys.readouterr().err
