"""CUDA layer on the real cuda-python with a stand-in driver whose device memory is host memory (fake_gpu/driver.c)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from amcnet.runtime.errors import BackendError
from amcnet.runtime.gpu import cuda
from amcnet.runtime.gpu.cuda import check, driver, stream_handle
from amcnet.runtime.gpu.cuda_memory import DeviceMemory

OnFakeGpu = Callable[..., subprocess.CompletedProcess[str]]
IMPORTS = """
import sys
import numpy as np
from amcnet import BackendError
from amcnet.runtime.gpu.cuda import Device, Event, Stream
from amcnet.runtime.gpu.cuda_graph import Graph
from amcnet.runtime.gpu.cuda_memory import PinnedBuffer
"""
ALL_RELEASED = "0 released:memories=0,streams=0,events=0,graphs=0"


def _done(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_copies_events_and_graphs(on_fake_gpu: OnFakeGpu, tmp_path: Path) -> None:
    code = """
with Device() as device, device.current():
    assert device.name == "NVIDIA Made-up GPU"
    with Stream() as stream, Stream() as other, PinnedBuffer((4, 5), np.float32) as buffer:
        with Event(timing=True) as begin, Event(timing=True) as end, Event() as never:
            begin.record(stream)
            never.synchronize()
            buffer.host[...] = np.arange(20).reshape(4, 5)
            buffer.upload(stream)
            end.record(stream)
            other.wait(end)
            buffer.download(other)
            other.synchronize()
            assert (buffer.host == np.arange(20).reshape(4, 5)).all()
            assert end.ms_since(begin) >= 30
        buffer.host[...] = 0
        with Graph(stream, lambda: buffer.download(stream)) as graph:
            stream.synchronize()
            assert (buffer.host == 0).all(), "capturing must not execute"
            for _ in range(2):
                graph.launch(stream)
                stream.synchronize()
                assert buffer.host.sum() == 190
                buffer.host[...] = 0
"""
    log = tmp_path / "log"
    _done(on_fake_gpu(IMPORTS + code, FAKE_CUDA_LOG=log, FAKE_CUDA_COPY_US=30_000))
    done = [line.rsplit(" ", 2)[0] for line in log.read_text().splitlines()]
    graph = ["1 download", "1 graph"]
    assert done == ["1 upload", "2 download", *graph, *graph, ALL_RELEASED]


def test_a_failed_capture_leaves_the_stream_usable(on_fake_gpu: OnFakeGpu, tmp_path: Path) -> None:
    code = """
def refused(work, error):
    try:
        Graph(stream, work)
    except error as raised:
        return str(raised)

def stop():
    buffer.upload(stream)
    raise ValueError("out of the work")

with Device() as device, device.current(), Stream() as stream, PinnedBuffer((3,), np.uint8) as buffer:
    print(refused(stream.synchronize, BackendError))
    print(refused(stop, ValueError))
    buffer.host[...] = 7
    buffer.upload(stream)
    stream.synchronize()
    buffer.host[...] = 0
    buffer.download(stream)
    stream.synchronize()
    assert (buffer.host == 7).all()
"""
    log = tmp_path / "log"
    refused, stopped = _done(on_fake_gpu(IMPORTS + code, FAKE_CUDA_LOG=log)).splitlines()
    assert refused.startswith("GPU work failed: CUDA error CUDA_ERROR_")
    assert stopped == "out of the work"
    assert log.read_text().splitlines()[-1].startswith(ALL_RELEASED)


def test_every_driver_status_is_checked(on_fake_gpu: OnFakeGpu) -> None:
    code = """
try:
    with (
        Device() as device,
        device.current(),
        Stream() as stream,
        Event() as event,
        PinnedBuffer((2,), np.uint8) as buffer,
    ):
        event.record(stream)
        buffer.upload(stream)
        buffer.download(stream)
        with Graph(stream, lambda: buffer.upload(stream)) as graph:
            graph.launch(stream)
            stream.synchronize()
except BackendError as error:
    print(error)
"""
    # The driver functions called above; each fails in one forked process.
    names = [
        "cuInit",
        "cuDeviceGet",
        "cuDevicePrimaryCtxRetain",
        "cuCtxPushCurrent",
        "cuStreamCreate",
        "cuEventCreate",
        "cuMemHostAlloc",
        "cuMemAlloc",
        "cuEventRecord",
        "cuMemcpyHtoDAsync",
        "cuMemcpyDtoHAsync",
        "cuStreamBeginCapture",
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
        "cuGraphDestroy",
        "cuGraphLaunch",
        "cuStreamSynchronize",
        "cuGraphExecDestroy",
        "cuMemFree",
        "cuMemFreeHost",
        "cuEventDestroy",
        "cuStreamDestroy",
        "cuCtxPopCurrent",
        "cuDevicePrimaryCtxRelease",
    ]
    forked = """
import os
for name in sys.argv[1:]:
    sys.stdout.flush()
    if os.fork() == 0:
        os.environ["FAKE_CUDA_FAIL"] = f"{name}:1:2"
        exec(CODE)
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""
    lines = _done(on_fake_gpu(f"{IMPORTS}CODE = {code!r}\n{forked}", *names)).splitlines()
    assert len(lines) == len(names)
    for name, line in zip(names, lines, strict=True):
        assert "CUDA error CUDA_ERROR_OUT_OF_MEMORY (out of memory). Fix: close other programs" in line, name
    assert len(set(lines)) >= 18, "the message names the operation that failed"


def test_a_gpu_that_does_not_exist_is_an_error(on_fake_gpu: OnFakeGpu) -> None:
    code = "try:\n    Device(1)\nexcept BackendError as error:\n    print(error)"
    assert "GPU 1 does not exist: CUDA error" in _done(on_fake_gpu(IMPORTS + code))


def test_the_context_of_the_caller_is_restored(on_fake_gpu: OnFakeGpu) -> None:
    code = """
from cuda.bindings import driver
with Device() as device:
    assert int(driver.cuCtxGetCurrent()[1]) == 0
    with device.current():
        with device.current():
            pass
        assert int(driver.cuCtxGetCurrent()[1]) != 0
    assert int(driver.cuCtxGetCurrent()[1]) == 0
    try:
        Stream()
    except BackendError as error:
        print(error)
"""
    assert _done(on_fake_gpu(IMPORTS + code)).startswith("the stream cannot be created: CUDA error")


def test_the_error_without_a_driver_names_amc_check() -> None:
    pytest.importorskip("cuda.bindings")
    code = "from amcnet.runtime.gpu.cuda import Device\ntry:\n    Device()\nexcept Exception as e:\n    print(repr(e))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if not result.stdout:
        pytest.skip("this machine has a driver")
    assert result.stdout.startswith("BackendError('no NVIDIA driver was found (libcuda.so.1)")
    assert "amc-check" in result.stdout


def test_the_error_without_cuda_python_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(BackendError, match=r"pip install 'cuda-python>=13' \(with TensorRT 8: .*; amc-check"):
        driver()


def test_values_of_a_driver_call() -> None:
    assert check((0,), "x") == ()
    assert check((0, 5), "x") == 5
    assert check((0, 5, 6), "x") == (5, 6)


class _Int:
    def __int__(self) -> int:
        return 0x7F00


def test_handles_of_streams_of_other_libraries() -> None:
    assert stream_handle(SimpleNamespace(handle=0x55)) == 0x55  # as pycuda.driver.Stream
    assert stream_handle(SimpleNamespace(handle=_Int())) == 0x7F00
    assert stream_handle(_Int()) == 0x7F00  # as cuda.bindings.driver.CUstream
    assert stream_handle(3) == 3
    for wrong in (None, "a stream", SimpleNamespace(handle=None)):
        with pytest.raises(BackendError, match=r"not a CUDA stream: got \w+, expected an object with a `\.handle`"):
            stream_handle(wrong)


def _array(**changed: Any) -> SimpleNamespace:
    values = {"shape": (2, 3), "typestr": "<f4", "data": (0x7F00, False), "version": 3}
    return SimpleNamespace(__cuda_array_interface__=values | changed)


def test_device_memory_of_other_libraries() -> None:
    assert DeviceMemory.of(_Int()) == DeviceMemory(address=0x7F00)  # as pycuda.driver.DeviceAllocation
    expected = DeviceMemory(address=0x7F00, shape=(2, 3), dtype=np.dtype(np.float32))
    assert DeviceMemory.of(_array()) == expected  # as pycuda.gpuarray.GPUArray
    assert DeviceMemory.of(_array(strides=None)) == expected
    assert DeviceMemory.of(_array(strides=(12, 4))) == expected
    with pytest.raises(BackendError, match=r"not contiguous: got strides \(4, 8\), expected \(12, 4\)\. Fix: copy"):
        DeviceMemory.of(_array(strides=(4, 8)))
    for wrong in (np.zeros((2, 2)), np.ones(1), np.int64(5), 0.5, "memory"):
        with pytest.raises(BackendError, match=r"not GPU memory: got \w+, expected an array with __cuda"):
            DeviceMemory.of(wrong)


def test_importing_the_layer_does_not_load_cuda() -> None:
    code = f"import sys, {cuda.__name__}; print([name for name in sys.modules if name.split('.')[0] == 'cuda'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
