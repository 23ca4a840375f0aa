"""Engines on a fake GPU: checks before loading, error messages, and memory and streams of the caller."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from amcnet.runtime.errors import EngineError
from amcnet.runtime.trt.card import EngineFile
from amcnet.runtime.trt.engine import Engine
from amcnet.runtime.trt.machine import Machine

OnFakeGpu = Callable[..., subprocess.CompletedProcess[str]]
MakeEngine = Callable[..., Path]
IMPORTS = """
import sys
import numpy as np
from amcnet import AmcNetError
from amcnet.runtime.trt.card import EngineFile
from amcnet.runtime.gpu.cuda import Stream
from amcnet.runtime.gpu.cuda_memory import PinnedBuffer
from amcnet.runtime.trt.engine import Engine
"""
TRY = """
try:
    with Engine(EngineFile.read(sys.argv[1])) as engine, engine.execution() as execution:
        pass
except AmcNetError as error:
    print(type(error).__name__, error)
"""
ABOUT = "x.engine (pipeline, fp16, built by TensorRT 10.16.1.11 for SM 8.6)"
AGAIN = "if the error remains, build the engine again: build-engine pipeline.onnx --fp16 --flavor tensorrt"


def _done(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_an_engine_of_another_gpu_is_refused_before_it_is_loaded(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path
) -> None:
    engine = make_engine(tmp_path / "x.engine", "pipeline", card={"compute_capability": ("7.5",)})
    log = tmp_path / "log"
    assert _done(on_fake_gpu(IMPORTS + TRY, engine, FAKE_CUDA_LOG=log)) == (
        "EngineError x.engine was built for SM 7.5, this GPU is Made-up GPU (SM 8.6); rebuild it here: "
        "build-engine pipeline.onnx --fp16 --flavor tensorrt\n"
    )
    assert not log.exists(), "neither the GPU nor TensorRT was touched"


def test_an_engine_without_a_gpu_is_refused(make_engine: MakeEngine, tmp_path: Path) -> None:
    if Machine.here().has_gpu:
        pytest.skip("this machine has a GPU")
    file = EngineFile.read(make_engine(tmp_path / "x.engine", "pipeline"))
    with pytest.raises(EngineError, match="no GPU or no driver was found, and TensorRT engines need both"):
        Engine(file)


def test_a_plan_refused_by_the_library_is_an_error(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path
) -> None:
    engine = make_engine(tmp_path / "x.engine", "pipeline")
    engine.write_bytes(b"no plan")
    code = IMPORTS + TRY.replace("sys.argv[1])", "sys.argv[1], trust=True)")
    log = tmp_path / "log"
    assert _done(on_fake_gpu(code, engine, FAKE_CUDA_LOG=log)) == (
        f"EngineError {ABOUT} cannot be loaded: IRuntime::deserializeCudaEngine: Error Code 1: Serialization "
        f"(magic tag mismatch); {AGAIN}\n"
    )
    assert "0 released:memories=0,streams=0,events=0,graphs=0" in log.read_text()


def test_a_context_that_cannot_be_made_is_an_error(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path
) -> None:
    engine = make_engine(tmp_path / "x.engine", "pipeline", no_context=True)
    expected = (
        f"EngineError {ABOUT} cannot be run: the execution context cannot be created (Error Code 2: OutOfMemory); "
    )
    assert _done(on_fake_gpu(IMPORTS + TRY, engine)) == f"{expected}{AGAIN}\n"


def test_errors_of_the_driver_name_the_engine(on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path) -> None:
    engine = make_engine(tmp_path / "x.engine", "pipeline")
    code = IMPORTS + TRY.replace("Engine(EngineFile", "open_pipeline(EngineFile").replace(
        ", engine.execution() as execution", ""
    ).replace("try:", "from amcnet.runtime.backends.open_backend import open_pipeline\ntry:")
    log = tmp_path / "log"
    said = _done(on_fake_gpu(code, engine, FAKE_CUDA_FAIL="cuMemAlloc:4:2", FAKE_CUDA_LOG=log))
    assert said.startswith(f"BackendError {ABOUT} cannot be run: ")
    assert "bytes of GPU memory cannot be allocated: CUDA error CUDA_ERROR_OUT_OF_MEMORY (out of memory)" in said
    assert said.count("x.engine") == 1
    assert log.read_text().splitlines()[-1].startswith("0 released:memories=0,streams=0,events=0,graphs=0")


def test_a_version_compatible_engine_may_hold_code(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path
) -> None:
    engine = make_engine(tmp_path / "x.engine", "pipeline", card={"version_compatible": True}, host_code=True)
    assert _done(on_fake_gpu(IMPORTS + TRY, engine)) == ""


def test_contexts_are_released_before_engines_and_engines_before_the_gpu(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    _done(on_fake_gpu(IMPORTS + TRY, make_engine(tmp_path / "x.engine", "pipeline"), FAKE_CUDA_LOG=log))
    dropped = [line.split()[1].split(":")[0] for line in log.read_text().splitlines()]
    assert dropped == [
        "deserialized",
        "context-made",
        "context-dropped",
        "engine-dropped",
        "runtime-dropped",
        "released",
    ]


def test_memory_and_streams_of_the_caller_are_used(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path
) -> None:
    code = """
from types import SimpleNamespace

class Allocation:  # as pycuda.driver.DeviceAllocation
    def __init__(self, address):
        self.address = address
    def __int__(self):
        return self.address

def array(twin, **changed):  # as pycuda.gpuarray.GPUArray
    data = {"data": (twin.address, False), "shape": twin.host.shape, "typestr": twin.host.dtype.str}
    return SimpleNamespace(__cuda_array_interface__=data | changed)

with Engine(EngineFile.read(sys.argv[1])) as engine, engine.execution() as execution, engine.device.current():
    with Stream() as stream:
        twins = {name: PinnedBuffer(spec.shape, spec.dtype) for name, spec in execution.tensors.items()}
        for wrong in (array(twins["frame"], shape=(48, 64, 3)), array(twins["frame"], typestr="<f4")):
            try:
                execution.bind("frame", wrong)
            except AmcNetError as error:
                print(error)
        try:
            execution.bind("flow", array(twins["frame"]))
        except AmcNetError as error:
            print(error)
        execution.bind("frame", array(twins["frame"]))
        execution.bind("next_frame", Allocation(twins["next_frame"].address))
        try:
            execution.enqueue(stream)
        except AmcNetError as error:
            print(error)
        execution.bind("mask", array(twins["mask"]))
        twins["frame"].host[...], twins["next_frame"].host[...] = 64, 128
        twins["frame"].upload(stream), twins["next_frame"].upload(stream)
        execution.enqueue(SimpleNamespace(handle=stream.handle))  # as pycuda.driver.Stream
        twins["mask"].download(stream)
        stream.synchronize()
        assert (twins["mask"].host == 64 / 512 + 128 / 1024).all()
        for twin in twins.values():
            twin.close()
"""
    engine = make_engine(tmp_path / "x.engine", "pipeline")
    shape, dtype, name, unbound = _done(on_fake_gpu(IMPORTS + code, engine)).splitlines()
    assert shape == "frame is uint8 (48, 64, 3); expected uint8 (1, 48, 64, 3)"
    assert dtype == "frame is float32 (1, 48, 64, 3); expected uint8 (1, 48, 64, 3)"
    assert name == "x.engine has no 'flow'; expected frame, next_frame, mask"
    assert unbound == (
        f"{ABOUT} cannot be run: the inference cannot be enqueued (Error Code 3: API Usage Error); {AGAIN}"
    )


def test_an_engine_with_free_sizes_runs_at_the_minimum(
    on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path
) -> None:
    free = [-1, 3, 384, 384]
    ranges = [[size, 3, 384, 384] for size in (2, 2, 4)]
    engine = make_engine(
        tmp_path / "x.engine",
        "amcnet",
        card={"profile": dict.fromkeys(("image", "flow_image"), ranges)},
        inputs={name: ["FLOAT", free] for name in ("image", "flow_image")},
        outputs={"mask": ["FLOAT", [-1, 1, 384, 384]]},
    )
    code = """
with Engine(EngineFile.read(sys.argv[1])) as engine, engine.execution() as execution:
    print({name: spec.shape for name, spec in execution.tensors.items()})
"""
    expected = {"image": (2, 3, 384, 384), "flow_image": (2, 3, 384, 384), "mask": (2, 1, 384, 384)}
    assert _done(on_fake_gpu(IMPORTS + code, engine)) == f"{expected}\n"


def test_layers_are_read_from_the_inspector(on_fake_gpu: OnFakeGpu, make_engine: MakeEngine, tmp_path: Path) -> None:
    layers = ["only its name", {"Name": "conv", "LayerType": "gemm"}]
    engine = make_engine(tmp_path / "x.engine", "pipeline", layers=layers)
    code = "with Engine(EngineFile.read(sys.argv[1])) as engine:\n    print(engine.layers())"
    assert _done(on_fake_gpu(IMPORTS + code, engine)) == f"{[{'Name': 'only its name'}, layers[1]]}\n"
