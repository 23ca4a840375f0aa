"""Peers run the same network: what they answer is what the file answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from amcnet.benchmarks.latency import baselines
from amcnet.benchmarks.latency.baselines import PEERS, NotInstalledError, open_peers
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


def test_all_peers_answer_what_the_file_answers(
    file: OnnxFile, inputs: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PEERS, "cpu", {name: opener for name, opener in PEERS["cpu"].items() if name != SLOW})
    here, absent = open_peers(file, None, inputs)
    assert set(here) | set(absent) == set(PEERS["cpu"])
    assert {"PyTorch, eager", "PyTorch, channels-last", "ONNX Runtime, CPU, its defaults"} <= set(here)
    expected = onnx_run(file.path)(inputs)["mask"]
    monkeypatch.setattr(baselines, "available_cores", lambda: 3)
    threads = torch.get_num_threads()
    assert threads != 3, "PyTorch has another number of threads than the peers, or this would test nothing"
    for name, run in here.items():
        difference = np.abs(run(inputs) - expected)
        if "bf16" in name:
            assert difference.mean() < 0.03, name
        else:
            assert difference.max() < 1e-3, name
        assert torch.get_num_threads() == threads, name


@pytest.mark.needs_cuda
def test_peers_on_a_gpu_answer_what_the_file_answers(file: OnnxFile, inputs: dict[str, NDArray[np.float32]]) -> None:
    here, absent = open_peers(file, None, inputs, "cuda")
    assert set(here) | set(absent) == set(PEERS["cuda"])
    expected = onnx_run(file.path)(inputs)["mask"]
    other = {name: value[..., ::-1].copy() for name, value in inputs.items()}
    expected_of_other = onnx_run(file.path)(other)["mask"]
    for name, run in here.items():
        # Twice: what a CUDA graph reads and writes stays in its place.
        for given, wanted in ((inputs, expected), (other, expected_of_other)):
            assert np.abs(run(given) - wanted).mean() < (0.02 if "half" in name else 5e-3), name


def test_without_a_gpu_its_peers_say_so(file: OnnxFile, inputs: dict[str, NDArray[np.float32]]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    here, absent = open_peers(file, None, inputs, "cuda")
    assert not here
    assert absent["PyTorch, CUDA, channels-last, half"] == "PyTorch finds no GPU, or is the build for CPUs"
    assert "CUDAExecutionProvider" in absent["ONNX Runtime, CUDA, its defaults (TF32)"]


def test_a_peer_that_is_absent_or_fails_says_why(
    file: OnnxFile, inputs: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(file: OnnxFile, checkpoint: Path | None) -> Any:
        raise NotInstalledError("not installed: pip install it")

    def failing(file: OnnxFile, checkpoint: Path | None) -> Any:
        raise RuntimeError("it\nbroke")

    monkeypatch.setitem(PEERS, "cpu", {"absent": absent, "failing": failing})
    assert open_peers(file, None, inputs) == (
        {},
        {"absent": "not installed: pip install it", "failing": "failed: RuntimeError: it broke"},
    )
