"""Peak throughput of a device, measured by matrix products and memory copies on all its cores."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ...runtime.machine_info import available_cores
from .gpu_peaks import gpu_copied_per_second, gpu_product

_SIZE = 2048  # of the matrices: 17 GFLOP, 50 MB
_GPU_SIZE = 8192
_COPY_BYTES = 256 << 20  # much larger than the caches
_RUNS = 5


@dataclass(frozen=True, kw_only=True)
class MeasuredPeaks:
    """Best of five runs: FLOP/s by precision, and bytes/s read plus written."""

    flops_per_second: dict[str, float]
    bytes_per_second: float

    def or_better(self, other: MeasuredPeaks) -> MeasuredPeaks:
        """The greater of each pair of values: disturbances can only lower them."""
        return MeasuredPeaks(
            flops_per_second={
                name: max(flops, other.flops_per_second[name]) for name, flops in self.flops_per_second.items()
            },
            bytes_per_second=max(self.bytes_per_second, other.bytes_per_second),
        )

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def measure_peaks(device: str = "cpu") -> MeasuredPeaks:
    """Measure the peaks of `device`, "cpu" or "cuda", in about 3 s; "int8" only if onnx and onnxruntime are installed.

    Raises BackendError for "cuda" without a GPU or the package onnx.
    """
    if device == "cuda":
        products = {"fp32": gpu_product(_GPU_SIZE, np.float32), "fp16": gpu_product(_GPU_SIZE, np.float16)}
        flops = {name: 2 * _GPU_SIZE**3 / _best_seconds(product) for name, product in products.items()}
        return MeasuredPeaks(flops_per_second=flops, bytes_per_second=gpu_copied_per_second(_COPY_BYTES, _RUNS))
    flops = {"fp32": _product_per_second(_float_product())}
    if (int8 := _int8_product()) is not None:
        flops["int8"] = _product_per_second(int8)
    return MeasuredPeaks(flops_per_second=flops, bytes_per_second=_copied_per_second())


def reference_work(device: str = "cpu") -> Callable[[], object]:
    """A matrix product of a few ms, measured in the rounds of the networks as a reference for the machine."""
    return gpu_product(_GPU_SIZE // 2, np.float32) if device == "cuda" else _float_product(_SIZE // 2)


def _float_product(size: int = _SIZE) -> Callable[[], object]:
    first, second, result = (np.full((size, size), 0.5, np.float32) for _ in range(3))
    return lambda: np.matmul(first, second, out=result)


def _int8_product() -> Callable[[], object] | None:
    """Product of UINT8 and INT8 matrices in ONNX Runtime, as in quantized networks; None if not installed."""
    try:
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        return None
    weights = numpy_helper.from_array(np.ones((_SIZE, _SIZE), np.int8), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, (_SIZE, _SIZE))],
        [helper.make_tensor_value_info("y", TensorProto.INT32, (_SIZE, _SIZE))],
        initializer=[weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = np.ones((_SIZE, _SIZE), np.uint8)
    return lambda: session.run(None, {"x": x})


def _product_per_second(product: Callable[[], object]) -> float:
    return 2 * _SIZE**3 / _best_seconds(product)


def _copied_per_second() -> float:
    """Bytes/s of a copy in which each core copies its own part; a byte read and a byte written count as two."""
    cores = available_cores()
    parts: list[tuple[NDArray[np.uint8], ...]] = [
        (np.ones(_COPY_BYTES // cores, np.uint8), np.zeros(_COPY_BYTES // cores, np.uint8)) for _ in range(cores)
    ]
    with ThreadPoolExecutor(cores) as pool:
        seconds = _best_seconds(lambda: list(pool.map(lambda part: np.copyto(part[1], part[0]), parts)))
    return 2 * _COPY_BYTES / seconds


def _best_seconds(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(_RUNS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)
