"""Speedup of INT8 on this CPU by network.

    python -m amcnet.benchmarks.studies.int8_speed --clip FILE [--json FILE]

The bundled network, AMC-Net with ResNet-101 and PWC-Net (the latter with seeded weights, at 384x384) in FP32 and in the
INT8 of `amc-calibrate --target cpu`, on all cores, each in the library that amcnet selects for the file. They alternate
with a large INT8 matrix product in ONNX Runtime, whose rate is the reference for the INT8 networks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.backends.open_backend import open_backend
from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.files.bundled_network import DEFAULT_AMCNET
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.inputs.clip_inputs import ClipInputs
from ...runtime.machine_info import available_cores, processor_name
from ..latency.graph_cost import graph_cost

_SIZE = (384, 384)
_SIDE = 1024  # rows and columns of the matrices
_GOALS = {"AMC-Net ResNet-101": 3.5, "PWC-Net": 3.0}


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, required=True, help="clip to calibrate with")
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds (default: 7)")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    require("int8_speed", "torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime")
    from ...export import Seed, export_amcnet, export_pwcnet

    results: dict[str, Any] = {"machine": {"processor": processor_name(), "cores": available_cores()}, "networks": {}}
    with tempfile.TemporaryDirectory() as folder:
        exports: dict[str, Callable[[], Path]] = {
            "light": lambda: DEFAULT_AMCNET,
            "PWC-Net": lambda: export_pwcnet(Seed(number=1), Path(folder), size=_SIZE).file.path,
            "AMC-Net ResNet-101": lambda: export_amcnet(Seed(number=1), Path(folder)).file.path,
        }
        for name, export in exports.items():
            found = _compare(export(), arguments.clip, Path(folder), arguments.rounds)
            results["networks"][name] = found | {"goal": _GOALS.get(name)}
            print(f"{name}: {', '.join(f'{key} {value}' for key, value in found.items())}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def _compare(source: Path, clip: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """ratio: FP32 / INT8 of adjacent runs. of_gemm: INT8 latency relative to its FLOPs at the rate of the product."""
    from ...calibration import calibrate_on_batches

    input_batches = [item.inputs for item in ClipInputs(OnnxFile.read(source), [clip], every=12)]
    output = folder / f"{source.stem}.int8.onnx"
    calibrate_on_batches(source, output, input_batches[:4], target="cpu", method="percentile")
    operations = graph_cost(source).flops
    cores = available_cores()
    whole, quantized = (open_backend(OnnxFile.read(path), cores) for path in (source, output))
    product = _product(folder)
    times = []
    for _ in range(rounds + 1):
        slow, fast = _ms(lambda: whole.run(input_batches[0])), _ms(lambda: quantized.run(input_batches[0]))
        times.append((slow, fast, min(_ms(product) for _ in range(5))))
    times = times[1:]  # the first is the warm-up
    ratios = [slow / fast for slow, fast, _ in times]
    least_ms = [operations / (2 * _SIDE**3) * gemm for _, _, gemm in times]
    return {
        "fp32": whole.name,
        "int8": quantized.name,
        "fp32_ms": statistics.median(slow for slow, _, _ in times),
        "int8_ms": statistics.median(fast for _, fast, _ in times),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "gemm_gops": 2e-6 * _SIDE**3 / statistics.median(gemm for _, _, gemm in times),
        "of_gemm": statistics.median(fast / least for (_, fast, _), least in zip(times, least_ms, strict=True)),
    }


def _product(folder: Path) -> Callable[[], object]:
    """A product of two INT8 matrices in ONNX Runtime."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "weights"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [_SIDE, _SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [_SIDE, _SIDE])],
        [numpy_helper.from_array(rng.integers(-127, 128, (_SIDE, _SIDE), np.int8), "weights")],
    )
    path = folder / "product.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {"x": rng.integers(0, 256, (_SIDE, _SIDE), np.uint8)}
    return lambda: session.run(None, inputs)


def _ms(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - begin)


if __name__ == "__main__":
    sys.exit(main())
