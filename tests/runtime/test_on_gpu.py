"""Tests that need a GPU: the CUDA layer, ONNX Runtime and engines on a real one. `make gpu-check` runs these."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.engines.build import build_engine
from amcnet.engines.build_options import BuildOptions
from amcnet.engines.inspector import kernel_precisions
from amcnet.export import Seed, export_pipeline
from amcnet.models import AMCNetConfig
from amcnet.runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from amcnet.runtime.backends.open_backend import open_backend, open_pipeline
from amcnet.runtime.errors import BackendError
from amcnet.runtime.files.onnx_file import OnnxFile
from amcnet.runtime.frame import Frame
from amcnet.runtime.gpu.cuda import Device, Event, Stream
from amcnet.runtime.gpu.cuda_graph import Graph
from amcnet.runtime.gpu.cuda_memory import PinnedBuffer
from amcnet.runtime.segmenter import DEFAULT_AMCNET
from amcnet.runtime.stage_times import StageTimes
from amcnet.runtime.trt import api
from amcnet.runtime.trt.card import EngineFile
from amcnet.runtime.trt.engine import Engine
from amcnet.runtime.trt.machine import Machine

pytestmark = pytest.mark.needs_cuda
SIZE = (96, 64)
Build = Callable[..., EngineFile]


@pytest.fixture(scope="module", params=list(api.MODULES))
def build(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """`build(model, fp16=…)`: its engine for this GPU, by each flavor that is here and knows the GPU."""
    flavor, machine = request.param, Machine.here()
    if flavor not in machine.tensorrt:
        pytest.skip(f"{api.NAMES[flavor]} is not installed")
    if flavor == "tensorrt-rtx" and machine.compute_capability not in api.RTX_COMPUTE_CAPABILITIES:
        pytest.skip(f"TensorRT-RTX does not know {machine.gpu_name}")
    folder = tmp_path_factory.mktemp(flavor)

    def make(model: Path, fp16: bool = False) -> EngineFile:
        if fp16 and flavor == "tensorrt-8" and machine.compute_capability in api.SLOW_FP16:
            pytest.skip(f"{machine.gpu_name} is slow in FP16")
        output = folder / f"{model.stem}.{fp16}.engine"
        options = BuildOptions(model=model, output=output, fp16=fp16, flavor=flavor)
        return EngineFile.read(output) if output.exists() else build_engine(options)

    return make


@pytest.fixture(scope="module")
def pipeline_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline.onnx for frames of 96x64, untrained."""
    folder, seed = tmp_path_factory.mktemp("pipeline"), Seed(number=1)
    export_pipeline(seed, seed, folder, video_size=SIZE, config=AMCNetConfig(backbone="resnet18"))
    return folder / "pipeline.onnx"


def _inputs(seed: int) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(1, 3, 256, 256)).astype(np.float32) for name in ("image", "flow_image")}


def _frames(count: int) -> list[Frame]:
    rng = np.random.default_rng(0)
    shape = (SIZE[1], SIZE[0], 3)
    return [
        Frame(pixels=rng.integers(0, 256, shape, np.uint8), index=index, pts=index, pts_seconds=index)
        for index in range(count)
    ]


def test_copies_events_and_graphs() -> None:
    with Device() as device, device.current(), Stream() as stream, PinnedBuffer((512, 1024), np.float32) as twin:
        wanted = np.random.default_rng(0).normal(size=twin.host.shape).astype(np.float32)
        with Event(timing=True) as begin, Event(timing=True) as end:
            twin.host[...] = wanted
            begin.record(stream)
            twin.upload(stream)
            end.record(stream)
            stream.synchronize()
            assert 0 < end.ms_since(begin) < 1000
        with Graph(stream, lambda: twin.download(stream)) as graph:
            twin.host[...] = 0
            graph.launch(stream)
            stream.synchronize()
        np.testing.assert_array_equal(twin.host, wanted)


def test_out_of_memory_is_an_error_and_leaves_the_gpu_usable() -> None:
    with Device() as device, device.current():
        with pytest.raises(BackendError, match="CUDA error CUDA_ERROR_"):
            PinnedBuffer((1 << 46,), np.uint8)
        with PinnedBuffer((16,), np.uint8) as twin, Stream() as stream:
            twin.upload(stream)
            stream.synchronize()


def test_onnx_runtime_on_cuda_agrees_with_the_cpu() -> None:
    if "CUDA" not in Machine.here().onnxruntime_providers:
        pytest.skip("the installed ONNX Runtime is the one for CPUs: pip install 'amcnet[gpu]'")
    file = OnnxFile.read(DEFAULT_AMCNET)
    with OnnxRuntimeBackend(file, 2) as cpu, OnnxRuntimeBackend(file, 2, "cuda") as gpu:
        for seed in range(3):
            expected, found = (backend.run(_inputs(seed))["mask"] for backend in (cpu, gpu))
            np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("fp16", [False, True])
def test_an_engine_in_two_threads_agrees_with_onnx_runtime(build: Build, fp16: bool) -> None:
    engine = build(DEFAULT_AMCNET, fp16)
    with OnnxRuntimeBackend(OnnxFile.read(DEFAULT_AMCNET), 2) as cpu, open_backend(engine, 1) as gpu:
        expected = [cpu.run(_inputs(seed))["mask"] for seed in range(6)]
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda seed: gpu.run(_inputs(seed))["mask"], range(6)))
    for a, b in zip(expected, found, strict=True):
        assert np.abs(a - b).max() < (0.1 if fp16 else 0.01)


def test_the_inspector_finds_fp16_layers(build: Build) -> None:
    with Engine(build(DEFAULT_AMCNET, True)) as engine:
        counts = kernel_precisions(engine.layers())
    assert counts.get("half", 0) > 0, counts


def test_memory_does_not_grow_with_calls(build: Build) -> None:
    from cuda.bindings import driver

    with open_backend(build(DEFAULT_AMCNET), 1) as network, Device() as device, device.current():
        free = []
        for seed in range(200):
            network.run(_inputs(seed % 2))
            free.append(int(driver.cuMemGetInfo()[1]))
    assert free[20] - free[-1] < 32 << 20


def test_a_pipeline_agrees_with_onnx_runtime(build: Build, pipeline_onnx: Path) -> None:
    frames = _frames(7)
    with OnnxRuntimeBackend(OnnxFile.read(pipeline_onnx), 2) as cpu, open_pipeline(build(pipeline_onnx)) as gpu:
        answers = list(gpu.masks(iter(frames), StageTimes()))
        for index, (frame, mask) in enumerate(answers):
            partner = frames[index + 1 if index + 1 < len(frames) else index - 1]
            expected = cpu.run({"frame": frame.pixels[None], "next_frame": partner.pixels[None]})["mask"][0]
            assert np.abs(mask - expected).mean() < 0.01
    assert [frame.index for frame, _ in answers] == list(range(7))
