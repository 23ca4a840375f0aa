"""ONNX Runtime for GPUs, tested on the CPU: its options, I/O binding, and the detection of its fallback to the CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from amcnet.runtime.backends import onnxruntime_session
from amcnet.runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from amcnet.runtime.errors import BackendError, ModelFileError
from amcnet.runtime.files.onnx_file import OnnxFile

CUDA = "CUDAExecutionProvider"


class _Session:
    """A session on the CPU that says it is on the GPU; `got` is what the library would have got."""

    def __init__(self, path: Path, options: Any, providers: list[Any], got: list[str]) -> None:
        self.asked = providers
        self.bindings: list[_Binding] = []
        self._running = Lock()
        self._got = got
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def get_providers(self) -> list[str]:
        return self._got

    def io_binding(self) -> Any:
        binding = _Binding(self._session.io_binding())
        self.bindings.append(binding)
        return binding

    def run_with_iobinding(self, binding: _Binding, options: Any) -> None:
        binding.runs += 1
        binding.graphs.add(options.get_run_config_entry("gpu_graph_id"))
        assert self._running.acquire(blocking=False), "it was called twice at once"
        try:
            self._session.run_with_iobinding(binding.inner)
        finally:
            self._running.release()

    def __getattr__(self, name: str) -> Any:
        assert name != "run", "what is on the GPU runs by its bindings"
        return getattr(self._session, name)


class _Binding:
    """The real binding, whose GPU is the CPU; counts what it is asked for."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.runs = self.inputs = 0
        self.graphs: set[str] = set()

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        self.inputs += 1
        self.inner.bind_ortvalue_input(name, value)

    def bind_output(self, name: str, device: str, index: int) -> None:
        raise AssertionError("its memory would be another one each time, which a CUDA graph does not see")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """ONNX Runtime as if built for GPUs; `library.got` are the providers that a session gets, `graphs`: it records."""

    def value(array: NDArray[Any], device: str, index: int) -> Any:
        assert (device, index) == ("cuda", 0)
        return onnxruntime.OrtValue.ortvalue_from_numpy(array, "cpu", 0)

    def memory(shape: list[int], kind: Any, device: str, index: int) -> Any:
        assert (device, index) == ("cuda", 0)
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, kind, "cpu", 0)

    def session(path: Path, options: Any, providers: list[Any], disabled_optimizers: list[str]) -> _Session:
        if not library.graphs and providers[0][1]["enable_cuda_graph"] == "1":
            raise RuntimeError("cannot use the graph capture feature")
        library.session = _Session(path, options, providers, library.got)
        return library.session

    library = SimpleNamespace(
        __version__="1.22.0",
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=session,
        RunOptions=onnxruntime.RunOptions,
        OrtValue=SimpleNamespace(ortvalue_from_numpy=value, ortvalue_from_shape_and_type=memory),
        get_available_providers=lambda: [CUDA, "CPUExecutionProvider"],
        preload_dlls=lambda: None,
        set_default_logger_severity=lambda severity: library.severities.append(severity),
        severities=[],
        got=[CUDA, "CPUExecutionProvider"],
        graphs=True,
    )
    monkeypatch.setattr(onnxruntime_session, "_import_onnxruntime", lambda: library)
    return library


def _inputs(seed: int) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(1, 3, 384, 384)).astype(np.float32) for name in ("image", "flow_image")}


def test_gpu_outputs_equal_the_cpu_and_memory_is_bound_once(library: Any, amcnet_onnx: Path) -> None:
    file = OnnxFile.read(amcnet_onnx)
    expected = onnxruntime.InferenceSession(amcnet_onnx, providers=["CPUExecutionProvider"])
    with OnnxRuntimeBackend(file, 1, "cuda") as network:
        assert network.name == "ONNX Runtime 1.22.0, CUDA, a CUDA graph"
        answers = [network.run(_inputs(seed)) for seed in range(3)]
    for seed, answer in enumerate(answers):
        np.testing.assert_array_equal(answer["mask"], expected.run(["mask"], _inputs(seed))[0])
    (binding,) = library.session.bindings
    assert (binding.runs, binding.inputs) == (3, 2)
    assert library.session.asked == [(CUDA, {"use_tf32": "0", "enable_cuda_graph": "1"}), "CPUExecutionProvider"]
    with pytest.raises(ValueError, match="is closed"):
        network.run(_inputs(0))


def test_the_log_is_silenced_only_during_the_kernel_search(library: Any, amcnet_onnx: Path) -> None:
    with OnnxRuntimeBackend(OnnxFile.read(amcnet_onnx), 1, "cuda") as network:
        assert library.severities == [4, 2], "fatal while the session opens, and the library's own afterwards"
        network.run(_inputs(0))
        assert library.severities == [4, 2] * 2, "the first run searches too"
        network.run(_inputs(1))
        assert library.severities == [4, 2] * 2


def test_concurrent_threads_are_serialized(library: Any, amcnet_onnx: Path) -> None:
    expected = onnxruntime.InferenceSession(amcnet_onnx, providers=["CPUExecutionProvider"])
    together = Barrier(2)

    def answer(seed: int) -> NDArray[np.float32]:
        together.wait()
        return network.run(_inputs(seed))["mask"]

    with OnnxRuntimeBackend(OnnxFile.read(amcnet_onnx), 1, "cuda") as network:
        for _ in range(2):  # threads of later videos find what is there already
            with ThreadPoolExecutor(2) as pool:
                for seed, mask in enumerate(pool.map(answer, range(2))):
                    np.testing.assert_array_equal(mask, expected.run(["mask"], _inputs(seed))[0])
        (binding,) = library.session.bindings
        assert binding.runs == 4


def test_a_network_that_cannot_be_captured_runs_without_a_graph(library: Any, amcnet_onnx: Path) -> None:
    library.graphs = False
    with OnnxRuntimeBackend(OnnxFile.read(amcnet_onnx), 1, "cuda") as network:
        assert network.name == "ONNX Runtime 1.22.0, CUDA, no CUDA graph"
        assert network.run(_inputs(0))["mask"].shape == (1, 1, 384, 384)
    with pytest.raises(BackendError, match=r"ONNX Runtime 1\.22\.0 refuses .*absent\.onnx: "):
        OnnxRuntimeBackend(replace(OnnxFile.read(amcnet_onnx), path=amcnet_onnx.with_name("absent.onnx")), 1, "cuda")


def test_inputs_of_another_shape_are_bound_anew_or_refused(library: Any, amcnet_onnx: Path) -> None:
    with OnnxRuntimeBackend(OnnxFile.read(amcnet_onnx), 1, "cuda") as network:
        network.run(_inputs(0))
        small = {name: value[:, :, :8] for name, value in _inputs(0).items()}
        with pytest.raises(ModelFileError, match=r"cannot be run on image float32 \(1, 3, 8, 384\)"):
            network.run(small)
        assert network.run(_inputs(1))["mask"].shape == (1, 1, 384, 384)
    assert [binding.graphs for binding in library.session.bindings] == [{"1"}, {"2"}], "a graph is for one shape"


def test_a_session_without_the_gpu_is_an_error(library: Any, amcnet_onnx: Path) -> None:
    library.got = ["CPUExecutionProvider"]
    message = r"1\.22\.0 fell back to the CPU: .*pip install 'amcnet\[gpu\]'; amc-check"
    with pytest.raises(BackendError, match=message):
        OnnxRuntimeBackend(OnnxFile.read(amcnet_onnx), 1, "cuda")


def test_a_cpu_only_library_is_an_error_before_the_file_is_loaded(amcnet_onnx: Path, recwarn: Any) -> None:
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this is the library for GPUs")
    message = r"runs on CPUs only; expected onnxruntime-gpu for --device cuda\. Fix: pip uninstall -y onnxruntime"
    with pytest.raises(BackendError, match=message):
        OnnxRuntimeBackend(OnnxFile.read(amcnet_onnx), 1, "cuda")
    assert not recwarn.list
