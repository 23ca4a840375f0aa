"""What int8 gains on this CPU, network by network: python -m amcnet.benchmarks.int8_speed --clip FILE [--json FILE]

The network inside, AMC-Net with ResNet-101 and PWC-Net (both with seeded weights, at 384x384) in float and in the int8
of `calibrate --target cpu`, in ONNX Runtime on all cores, in turn; and in between how fast a large int8 matrix product
is: the time that a network's multiplications would take at that rate is the least there is.
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
import onnx
from onnx import TensorProto, helper, numpy_helper

from .. import command
from ..calibration import calibrate
from ..engines.half_share import product_flops
from ..export import Seed, export_amcnet, export_pwcnet
from ..export.onnx_file import OnnxFile
from ..runtime.backend import available_cores
from ..runtime.clip_inputs import ClipInputs
from ..runtime.default_network import DEFAULT_AMCNET
from ..runtime.infer import processor_name

_SIZE = (384, 384)
_SIDE = 1024  # of the matrices
_GOALS = {"AMC-Net ResNet-101": 3.5, "PWC-Net": 3.0}


@command
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, required=True, help="frames to calibrate with")
    parser.add_argument("--rounds", type=int, default=7, help="(7)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
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
            print(f"{name}: {', '.join(f'{key} {value:.3g}' for key, value in found.items())}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def _compare(source: Path, clip: Path, folder: Path, rounds: int) -> dict[str, float]:
    """ratio: FP32 / int8, of neighbouring runs. of_gemm: int8's time by that of its multiplications at GEMM's rate."""
    feeds = [item.inputs for item in ClipInputs(OnnxFile.read(source), [clip], every=12)]
    output = folder / f"{source.stem}.int8.onnx"
    calibrate(source, output, feeds[:4], target="cpu", method="percentile")
    operations = product_flops(source).total()
    whole, quantised = _session(source), _session(output)
    product, operand = _product(folder)
    times = []
    for _ in range(rounds + 1):
        slow, fast = _ms(whole, feeds[0]), _ms(quantised, feeds[0])
        times.append((slow, fast, _ms(product, operand)))
    times = times[1:]  # the first to warm up
    ratios = [slow / fast for slow, fast, _ in times]
    least_ms = [operations / (2 * _SIDE**3) * gemm for _, _, gemm in times]
    return {
        "fp32_ms": statistics.median(slow for slow, _, _ in times),
        "int8_ms": statistics.median(fast for _, fast, _ in times),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "gemm_gops": 2e-6 * _SIDE**3 / statistics.median(gemm for _, _, gemm in times),
        "of_gemm": statistics.median(fast / least for (_, fast, _), least in zip(times, least_ms, strict=True)),
    }


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _product(folder: Path) -> tuple[Any, dict[str, Any]]:
    """A product of two int8 matrices as one node, and what it takes."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (_SIDE, _SIDE), np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "weights"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [_SIDE, _SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [_SIDE, _SIDE])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "product.onnx"
    )
    return _session(folder / "product.onnx"), {"x": rng.integers(0, 256, (_SIDE, _SIDE), np.uint8)}


def _ms(session: Any, feed: Any) -> float:
    begin = time.perf_counter()
    session.run(None, dict(feed))
    return 1e3 * (time.perf_counter() - begin)


if __name__ == "__main__":
    sys.exit(main())
