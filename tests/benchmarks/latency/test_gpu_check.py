"""make gpu-check without a GPU, on a simulated GPU, and the bounds of agreement."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.benchmarks.latency.gpu_check import _buildable, compare, gpu_check
from amcnet.runtime.closeable import Closeable
from amcnet.runtime.errors import BackendError
from amcnet.runtime.files.onnx_file import OnnxFile, file_sha256
from amcnet.runtime.trt.machine import Machine

OnFakeGpu = Callable[..., subprocess.CompletedProcess[str]]
GPU_CHECK = "import sys; from amcnet.benchmarks.latency.gpu_check import main; sys.exit(main())"
BATCHES = [{"x": np.full((4, 4), value, np.float32)} for value in (0.2, 0.6, 0.9)]


class _Backend(Closeable):
    """Returns its input plus `shift`."""

    def __init__(self, output: str, shift: float = 0.0) -> None:
        self.name = f"by {shift}"
        self._output, self._shift = output, shift

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        answer = (inputs["x"] + np.float32(self._shift))[None]
        return {self._output: np.stack([answer, answer], 1) if self._output == "flow" else answer}


@pytest.mark.parametrize(
    ("model", "output", "shift", "passed"),
    [
        ("amcnet", "mask", 0.0, True),
        ("amcnet", "mask", 0.05, True),
        ("amcnet", "mask", -0.2, False),
        ("pipeline", "mask", -0.2, False),
        ("pwcnet", "flow", 0.03, True),
        ("pwcnet", "flow", 0.04, False),  # in both directions: 0.057 px
    ],
)
def test_agreement_with_the_cpu_is_judged_by_the_bounds(model: str, output: str, shift: float, passed: bool) -> None:
    result = compare(_Backend(output), _Backend(output, shift), model, "fp16", BATCHES, seconds=0.05)
    assert result["passed"] is passed
    assert (result["backend"], result["reference"]) == (f"by {shift}", "by 0.0")
    assert result["fidelity"]["frames"] == 3
    assert result["call"]["p50_ms"] > 0
    json.dumps(result)


@pytest.mark.parametrize(
    ("compute_capability", "expected"),
    [
        ("8.6", ["tensorrt fp32", "tensorrt fp16", "tensorrt-rtx fp32", "tensorrt-rtx fp16"]),
        ("7.5", ["tensorrt fp32", "tensorrt fp16", "tensorrt-rtx fp16"]),
        ("9.0", ["tensorrt fp32", "tensorrt fp16"]),
        ("6.1", []),
    ],
)
def test_engines_that_the_gpu_can_run_are_built(compute_capability: str, expected: list[str]) -> None:
    both = {"tensorrt": "10.16.1.11", "tensorrt-rtx": "1.7.1.116"}
    machine = Machine(gpu="G", compute_capability=compute_capability, tensorrt=both)
    assert [" ".join(pair) for pair in _buildable(machine)] == expected


@pytest.mark.parametrize(
    ("compute_capability", "expected"),
    [("6.1", ["fp32", "int8"]), ("6.0", ["fp32", "fp16", "int8"]), ("12.0", [])],
)
def test_engines_of_tensorrt_8_are_built_in_the_precisions_of_the_gpu(
    compute_capability: str, expected: list[str]
) -> None:
    machine = Machine(gpu="G", compute_capability=compute_capability, tensorrt={"tensorrt-8": "8.6.1"})
    assert list(_buildable(machine)) == [("tensorrt-8", precision) for precision in expected]


def test_without_a_gpu_nothing_is_written(tmp_path: Path) -> None:
    if Machine.here().has_gpu:
        pytest.skip("this machine has a GPU")
    command = [sys.executable, "-c", GPU_CHECK, "--results", str(tmp_path / "results")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("error: no NVIDIA GPU or no driver was found")
    assert "amc-check" in result.stderr
    assert not list(tmp_path.iterdir())
    with pytest.raises(BackendError, match="nothing was checked"):
        gpu_check([])


def test_engines_on_a_made_up_gpu(
    on_fake_gpu: OnFakeGpu, make_engine: Callable[..., Path], amcnet_onnx: Path, tmp_path: Path
) -> None:
    onnx = tmp_path / "amcnet.onnx"
    onnx.write_bytes(amcnet_onnx.read_bytes())
    layers = [{"Name": "a", "LayerType": "gemm", "Outputs": [{"Format/Datatype": "Half"}]}]
    card = {"onnx_sha256": file_sha256(onnx)}
    good = make_engine(tmp_path / "good.engine", "amcnet", card=card, layers=layers)
    bad = make_engine(tmp_path / "bad.engine", "amcnet", card=card | {"flavor": "tensorrt-rtx"}, layers=layers)
    arguments = ("--engine", good, bad, "--frames", 3, "--results", tmp_path / "results", "--seconds", 0.2)
    result = on_fake_gpu(GPU_CHECK, *arguments, "--no-tests")
    assert (result.returncode, result.stderr) == (1, "")
    (path,) = (tmp_path / "results").iterdir()
    assert path.name == "made-up-gpu.json"
    report = json.loads(path.read_text())
    assert report["passed"] is False, "the second engine needs a library that is of another version here"
    assert report["environment"]["gpu"] == "Made-up GPU (SM 8.6)"
    found = report["results"]["amcnet.onnx"]
    assert found["TensorRT-RTX fp16"]["passed"] is False
    assert "bad.engine" in found["TensorRT-RTX fp16"]["error"]
    checked = found["TensorRT fp16"]
    assert checked["passed"] is True
    assert checked["fidelity"] | {"frames": 2, "mean_iou": 1.0} == checked["fidelity"]
    assert list(checked["gpu_ms"]) == ["upload", "network", "download"]
    assert checked["kernels"] == {"half": 1}
    assert set(checked["run"]["latency_ms"]) >= {"decode", "flow", "network", "write masks"}
    assert checked["run"]["backend"].startswith("TensorRT 10.16.1.11 on NVIDIA Made-up GPU")
    assert OnnxFile.read(onnx).model == "amcnet"


def test_an_engine_of_another_file_is_refused(
    on_fake_gpu: OnFakeGpu, make_engine: Callable[..., Path], amcnet_onnx: Path, tmp_path: Path
) -> None:
    (tmp_path / "amcnet.onnx").write_bytes(amcnet_onnx.read_bytes())
    engine = make_engine(tmp_path / "x.engine", "amcnet")
    result = on_fake_gpu(GPU_CHECK, "--engine", engine, "--results", tmp_path / "results", "--frames", 3, "--no-tests")
    assert result.returncode == 2
    assert "the SHA-256 of its card is that of another file" in result.stderr
