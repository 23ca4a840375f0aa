"""Progress of amc-bench, with a clock that the tests set."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from amcnet.benchmarks.latency import progress as module
from amcnet.benchmarks.latency.progress import BenchProgress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now_s=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    return clock


def test_progress_without_a_terminal_is_printed_as_lines(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = BenchProgress()
    progress("loading a.onnx")
    progress("loading b.onnx")
    for name in ("a", "b", "c", "d"):
        clock.now_s += 6
        progress(f"measuring {name}", left_s=60 - clock.now_s + 100)
    progress.close()
    assert capsys.readouterr().err.splitlines() == [
        "loading a.onnx",
        "loading b.onnx",
        "measuring b, 48 s left",
        "measuring d, 36 s left",
    ]


def test_progress_on_a_terminal_is_a_bar(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = BenchProgress()
    progress("loading a.onnx")
    clock.now_s += 30
    progress("measuring a.onnx", left_s=90)
    progress.warn("the machine is noisy")
    progress.close()
    printed = capsys.readouterr().err
    assert "measuring a.onnx, 90 s left" in printed
    assert " 25%|" in printed
    assert "warning: the machine is noisy\n" in printed
