"""Latency of upload, network and download on the GPU, measured with CUDA events."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import pairwise

from ...runtime.backends.base import Backend
from ...runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from ...runtime.backends.onnxruntime_binding import DeviceBinding
from ...runtime.backends.tensorrt_backend import EngineBackend
from ...runtime.gpu.cuda import Event, Stream
from ...runtime.gpu.cuda_memory import PinnedBuffer
from ...runtime.trt.engine import Engine
from .latency import host_clock, quantiles_ms

STAGES = ("upload", "network", "download")


def backend_gpu_ms(backend: Backend) -> dict[str, dict[str, float | None]] | None:
    """Times of a loaded backend on the GPU, by stage; None for a backend on the CPU. It must have run once."""
    if isinstance(backend, EngineBackend):
        return gpu_stages_ms(backend.engine)
    if isinstance(backend, OnnxRuntimeBackend) and backend.binding is not None:
        return network_ms(backend.binding)
    return None


def gpu_stages_ms(engine: Engine, runs: int = 50, warm_up_runs: int = 10) -> dict[str, dict[str, float | None]]:
    """Stages of sequential runs of `engine` without a CUDA graph: {stage: {"p50": ms, "p95": ms}}.

    The inputs are zeros; kernel times do not depend on the values, except through power and clocks. Raises EngineError
    or BackendError.
    """
    samples: dict[str, list[float]] = {stage: [] for stage in STAGES}
    with engine.on_device("failed"), ExitStack() as stack:
        stream = stack.enter_context(Stream())
        execution = stack.enter_context(engine.execution())
        buffers = {
            name: stack.enter_context(PinnedBuffer(spec.shape, spec.dtype)) for name, spec in execution.tensors.items()
        }
        for name, buffer in buffers.items():
            execution.bind(name, buffer.address)
        marks = [stack.enter_context(Event(timing=True)) for _ in range(len(STAGES) + 1)]
        for run in range(warm_up_runs + runs):
            marks[0].record(stream)
            for name in execution.inputs:
                buffers[name].upload(stream)
            marks[1].record(stream)
            execution.enqueue(stream)
            marks[2].record(stream)
            for name in execution.outputs:
                buffers[name].download(stream)
            marks[3].record(stream)
            stream.synchronize()
            if run >= warm_up_runs:
                for stage, (begin, end) in zip(STAGES, pairwise(marks), strict=True):
                    samples[stage].append(end.ms_since(begin))
    return {stage: quantiles_ms(values) for stage, values in samples.items()}


def network_ms(binding: DeviceBinding, runs: int = 100) -> dict[str, dict[str, float | None]]:
    """Latency of ONNX Runtime without copies: {"network": {"p50": ms, "p95": ms}}.

    Runs again on the inputs of the last call, which are in GPU memory; the outputs stay there. Measured by the host's
    clock around synchronous calls. Raises ValueError before the first call.
    """
    return {"network": quantiles_ms([host_clock(binding.rerun) for _ in range(runs)])}
