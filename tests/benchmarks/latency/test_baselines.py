"""Baselines run the same network: their outputs equal those of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from amcnet.benchmarks.latency import baselines
from amcnet.benchmarks.latency.baselines import BASELINES, NotInstalledError, open_baselines
from amcnet.export import Exported
from amcnet.export.compare.onnx_run import onnx_run
from amcnet.runtime.files.onnx_file import OnnxFile

SLOW = "PyTorch, torch.compile"  # a minute of compiling


@pytest.fixture(scope="module")
def file(exported: Callable[[str], Exported]) -> OnnxFile:
    return exported("light").file


@pytest.fixture(scope="module")
def inputs() -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal((1, 3, 64, 64)).astype(np.float32) for name in ("image", "flow_image")}


def test_outputs_equal_those_of_onnx_runtime(
    file: OnnxFile, inputs: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BASELINES, "cpu", {name: opener for name, opener in BASELINES["cpu"].items() if name != SLOW})
    runs, not_measured = open_baselines(file, None, inputs)
    assert set(runs) | set(not_measured) == set(BASELINES["cpu"])
    assert {"PyTorch, eager", "PyTorch, channels-last", "ONNX Runtime, CPU, default options"} <= set(runs)
    expected = onnx_run(file.path)(inputs)["mask"]
    monkeypatch.setattr(baselines, "available_cores", lambda: 3)
    threads = torch.get_num_threads()
    assert threads != 3, "PyTorch has another number of threads than the baselines, or this would test nothing"
    for name, run in runs.items():
        difference = np.abs(run(inputs) - expected)
        if "BF16" in name:
            assert difference.mean() < 0.03, name
        else:
            assert difference.max() < 1e-3, name
        assert torch.get_num_threads() == threads, name


@pytest.mark.needs_cuda
def test_outputs_on_a_gpu_equal_those_of_onnx_runtime(file: OnnxFile, inputs: dict[str, NDArray[np.float32]]) -> None:
    runs, not_measured = open_baselines(file, None, inputs, "cuda")
    assert set(runs) | set(not_measured) == set(BASELINES["cuda"])
    expected = onnx_run(file.path)(inputs)["mask"]
    other = {name: value[..., ::-1].copy() for name, value in inputs.items()}
    expected_of_other = onnx_run(file.path)(other)["mask"]
    for name, run in runs.items():
        # Twice: a CUDA graph reads and writes the same memory at each replay.
        for given, wanted in ((inputs, expected), (other, expected_of_other)):
            assert np.abs(run(given) - wanted).mean() < (0.02 if "FP16" in name else 5e-3), name


def test_without_a_gpu_the_reasons_are_given(file: OnnxFile, inputs: dict[str, NDArray[np.float32]]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    runs, not_measured = open_baselines(file, None, inputs, "cuda")
    assert not runs
    assert (
        not_measured["PyTorch, CUDA, channels-last, FP16"]
        == "PyTorch has no CUDA device: no NVIDIA GPU, or a CPU-only build of PyTorch"
    )
    assert "CUDAExecutionProvider" in not_measured["ONNX Runtime, CUDA, default options (TF32)"]


def test_a_baseline_that_takes_too_long_is_reported_and_ends(
    file: OnnxFile, inputs: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(file: OnnxFile, checkpoint: Path | None) -> Any:
        while True:
            try:
                sum(range(1000))
            except Exception:  # as a library that catches all errors of its passes
                continue

    def instant(file: OnnxFile, checkpoint: Path | None) -> Any:
        return lambda inputs: np.zeros(1)

    monkeypatch.setitem(BASELINES, "cpu", {"endless": endless, "instant": instant})
    runs, not_measured = open_baselines(file, None, inputs, limit_s=0.1)
    assert list(runs) == ["instant"]
    assert not_measured == {"endless": "too slow: not ready after 0 s"}
    monkeypatch.setitem(BASELINES, "cpu", {"instant": instant})
    clock = iter(range(1000))
    monkeypatch.setattr(baselines, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    runs, not_measured = open_baselines(file, None, inputs, limit_s=10, least_runs=11)
    assert not runs
    assert not_measured["instant"] == "too slow: 11 runs of 1.0 s; the limit is 10 s"


def test_a_baseline_that_is_not_installed_or_fails_has_its_reason(
    file: OnnxFile, inputs: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(file: OnnxFile, checkpoint: Path | None) -> Any:
        raise NotInstalledError("not installed: pip install it")

    def failing(file: OnnxFile, checkpoint: Path | None) -> Any:
        raise RuntimeError("it\nbroke")

    monkeypatch.setitem(BASELINES, "cpu", {"absent": absent, "failing": failing})
    assert open_baselines(file, None, inputs) == (
        {},
        {"absent": "not installed: pip install it", "failing": "failed: RuntimeError: it broke"},
    )
