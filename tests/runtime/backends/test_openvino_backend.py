"""OpenVINO as a backend: agreement with ONNX Runtime, also for files with functions of this package."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from amcnet.benchmarks.demo_clip import write_clip
from amcnet.export.compare.fidelity import mask_fidelity
from amcnet.runtime.backends import openvino_backend
from amcnet.runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from amcnet.runtime.backends.open_backend import open_backend
from amcnet.runtime.backends.openvino_backend import OpenVinoBackend, runs_in_openvino
from amcnet.runtime.errors import BackendError, ModelFileError
from amcnet.runtime.files.bundled_network import DEFAULT_AMCNET, DEFAULT_INT8
from amcnet.runtime.files.onnx_file import OnnxFile
from amcnet.runtime.inputs.clip_inputs import ClipInputs

pytest.importorskip("openvino")
INPUTS = {name: np.zeros((1, 3, 384, 384), np.float32) for name in ("image", "flow_image")}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("openvino") / "clip.mp4"
    write_clip(path, 4)
    return path


def test_fp32_is_computed_in_fp32(clip: Path) -> None:
    file = OnnxFile.read(DEFAULT_AMCNET)
    with OpenVinoBackend(file, 1) as ours, OnnxRuntimeBackend(file, 1) as other:
        for item in ClipInputs(file, [clip]):
            found, expected = ours.run(item.inputs)["mask"], other.run(item.inputs)["mask"]
            assert expected.max() > 0.9
            np.testing.assert_allclose(found, expected, atol=1e-4)  # BF16, its own choice, is 1e-2 away


def test_int8_agrees_with_onnx_runtime(clip: Path) -> None:
    file = OnnxFile.read(DEFAULT_INT8)
    with OpenVinoBackend(file, 1) as ours, OnnxRuntimeBackend(file, 1) as other:
        input_batches = [item.inputs for item in ClipInputs(file, [clip])]
        assert mask_fidelity(other.run, ours.run, input_batches).mean_iou > 0.9


def test_concurrent_calls_agree_with_onnx_runtime(amcnet_onnx: Path) -> None:
    input_batches = [{name: np.full((1, 3, 384, 384), k, np.float32) for name in INPUTS} for k in range(8)]
    with OpenVinoBackend(OnnxFile.read(amcnet_onnx), 1) as network, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda feed: network.run(feed)["mask"][0, 0, 0, 0], input_batches))
        assert found == [network.run(feed)["mask"][0, 0, 0, 0] for feed in input_batches]
    assert len(set(found)) == 8


def test_openvino_is_used_if_installed(amcnet_onnx: Path, pwcnet_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_backend(OnnxFile.read(amcnet_onnx), 1) as network:
        assert network.name.startswith("OpenVINO 20")
        assert network.name.endswith("CPU, 1 thread a frame")
    file = OnnxFile.read(pwcnet_onnx)
    with open_backend(file, 1) as network:
        assert network.name.startswith("OpenVINO 20")
    fp16 = OnnxFile(path=file.path, metadata=file.metadata | {"amcnet.precision": "fp16"})
    with open_backend(fp16, 1) as network:
        assert network.name.startswith("ONNX Runtime")
    int8 = OnnxFile(path=file.path, metadata=file.metadata | {"amcnet.int8_target": "cpu", "amcnet.precision": "int8"})
    monkeypatch.setattr(openvino_backend, "multiplies_int8", lambda: False)
    assert not runs_in_openvino(int8)
    assert runs_in_openvino(OnnxFile.read(amcnet_onnx))
    monkeypatch.setattr(openvino_backend, "multiplies_int8", lambda: True)
    with open_backend(int8, 1) as network:
        assert network.name.startswith("OpenVINO")
        assert (
            network.run({n: np.zeros((1, 3, 64, 128), np.float32) for n in ("frame", "next_frame")})["flow"].any() == 0
        )
    monkeypatch.setattr(openvino_backend.importlib.util, "find_spec", lambda name: None)
    assert not runs_in_openvino(OnnxFile.read(amcnet_onnx))


def test_errors_name_the_file_and_the_cause(tmp_path: Path, amcnet_onnx: Path, networks: ModuleType) -> None:
    network = OpenVinoBackend(OnnxFile.read(amcnet_onnx), 1)
    with network, pytest.raises(ModelFileError, match="cannot be run on"):
        network.run({name: np.zeros((1, 2, 384, 384), np.float32) for name in INPUTS})
    with pytest.raises(ValueError, match="is closed"):
        network.run(INPUTS)
    file = OnnxFile.read(networks.make_amcnet(tmp_path / "nan.onnx", nan=True))
    with OpenVinoBackend(file, 1) as network, pytest.raises(ModelFileError, match="not finite"):
        network.run(INPUTS)
    file = OnnxFile.read(networks.make_amcnet(tmp_path / "other.onnx", output="masque"))
    with pytest.raises(ModelFileError, match="the outputs masque; expected flow_image, image and mask"):
        OpenVinoBackend(file, 1)
    (tmp_path / "other.onnx").write_bytes(b"nothing")
    with pytest.raises(BackendError, match="refuses"):
        OpenVinoBackend(file, 1)


def test_a_signal_after_two_networks_were_closed_does_not_end_the_process(amcnet_onnx: Path) -> None:
    """Two Cores of OpenVINO, released in the order of their creation, leave a freed stack for signal handlers."""
    code = """
        import gc, signal, sys
        from amcnet.runtime.backends.openvino_backend import OpenVinoBackend
        from amcnet.runtime.files.onnx_file import OnnxFile
        file = OnnxFile.read(sys.argv[1])
        first, second = OpenVinoBackend(file, 1), OpenVinoBackend(file, 1)
        for backend in (first, second):
            backend.close()
        del backend, first, second
        gc.collect()
        signal.signal(signal.SIGUSR1, lambda number, frame: print("handled"))
        signal.raise_signal(signal.SIGUSR1)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(amcnet_onnx)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "handled\n"), result.stderr


def test_nothing_is_reported_to_a_server(amcnet_onnx: Path) -> None:
    code = """
        import sys, threading
        from amcnet.runtime.backends.openvino_backend import OpenVinoBackend
        from amcnet.runtime.files.onnx_file import OnnxFile
        OpenVinoBackend(OnnxFile.read(sys.argv[1]), 1).close()
        print("openvino_telemetry" in sys.modules, [thread.name for thread in threading.enumerate()])
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(amcnet_onnx)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stdout == "False ['MainThread']\n", result.stderr
