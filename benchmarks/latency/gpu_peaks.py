"""Peak throughput of a GPU: a matrix product, and a copy within its memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from ...runtime.backends.onnxruntime_session import open_session
from ...runtime.extras import needed_by
from ...runtime.gpu.cuda import Device, Event, Stream, check, driver
from ...runtime.gpu.cuda_memory import PinnedBuffer


def gpu_product(size: int, kind: type[np.floating[Any]]) -> Callable[[], None]:
    """A synchronous product of two (size, size) matrices in GPU memory, float32 (no TF32) or float16.

    ONNX Runtime computes it with cuBLAS. The values are random: zeros draw less power and run faster. Raises
    BackendError without a GPU or the package onnx.
    """
    with needed_by("measuring the peaks of the GPU"):
        from onnx import TensorProto, helper
    onnx_kind = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    assert onnx_kind in (TensorProto.FLOAT, TensorProto.FLOAT16)
    tensors = [helper.make_tensor_value_info(name, onnx_kind, (size, size)) for name in ("a", "b", "c")]
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "product", tensors[:2], tensors[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    opened = open_session(model.SerializeToString(), 1, "cuda")
    values, session = opened.library.OrtValue, opened.session
    rng = np.random.default_rng(0)
    binding = session.io_binding()
    for name in ("a", "b"):
        numbers = rng.standard_normal((size, size), np.float32).astype(kind)
        binding.bind_ortvalue_input(name, values.ortvalue_from_numpy(numbers, "cuda", 0))
    memory = values.ortvalue_from_shape_and_type([size, size], kind, "cuda", 0)
    binding.bind_ortvalue_output("c", memory)
    return lambda: session.run_with_iobinding(binding)


def gpu_copied_per_second(size: int, runs: int) -> float:
    """Bytes/s of copies of `size` bytes within GPU memory, best of `runs`; read and written bytes both count."""
    with ExitStack() as stack:
        device = stack.enter_context(Device())
        stack.enter_context(device.current())
        stream = stack.enter_context(Stream())
        source, target = (stack.enter_context(PinnedBuffer((size,), np.uint8)) for _ in range(2))
        begin, end = (stack.enter_context(Event(timing=True)) for _ in range(2))
        times_ms = []
        for _ in range(runs + 1):  # the first is the warm-up
            begin.record(stream)
            answer = driver().cuMemcpyDtoDAsync(target.address, source.address, size, stream.handle)
            check(answer, "a copy within GPU memory failed")
            end.record(stream)
            stream.synchronize()
            times_ms.append(end.ms_since(begin))
    return 2 * size / (min(times_ms[1:]) / 1e3)
