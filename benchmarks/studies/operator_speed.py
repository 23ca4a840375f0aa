"""Latency of two forms of an operator in ONNX Runtime: python -m amcnet.benchmarks.studies.operator_speed [--json FILE]

In AMC-Net, PReLU with a single slope as PRelu and as LeakyRelu; in PWC-Net, the correlation as 81 slices and as banded
matrix products. The two forms alternate in one process; the result is the median of the ratios of adjacent runs.
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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.command import cli_entry_point
from ...runtime.extras import require

if TYPE_CHECKING:
    import onnx

_SLICES = "\n".join(
    f"""
    start_{k} = Constant <value = int64[2] {{{k // 9}, {k % 9}}}> ()
    end_{k} = Add (start_{k}, size)
    shifted_{k} = Slice (framed, start_{k}, end_{k}, axes)
    product_{k} = Mul (first, shifted_{k})
    plane_{k} = ReduceMean <axes = [1], keepdims = 1> (product_{k})"""
    for k in range(81)
)
_CORRELATION_BY_SLICES = f"""<domain: "amcnet", opset_import: ["" : 17]>
AmcCorrelation (first, second) => (correlation) {{
    axes = Constant <value = int64[2] {{2, 3}}> ()
    margin = Constant <value = int64[8] {{0, 0, 4, 4, 0, 0, 4, 4}}> ()
    size = Shape <start = 2, end = 4> (first)
    framed = Pad (second, margin)
    {_SLICES}
    correlation = Concat <axis = 1> ({", ".join(f"plane_{k}" for k in range(81))})
}}"""


@cli_entry_point
def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=15, help="runs of each form (default: 15)")
    arguments.add_argument("--json", type=Path, help="write the results to this file")
    options = arguments.parse_args()
    require("operator_speed", "torch", "onnx", "onnxscript", "onnxruntime")
    import onnx

    from ...export import Seed, export_amcnet, export_pwcnet

    with tempfile.TemporaryDirectory() as folder:
        amcnet = onnx.load(export_amcnet(Seed(number=1), Path(folder)).file.path)
        pwcnet = onnx.load(export_pwcnet(Seed(number=1), Path(folder), size=(384, 384)).file.path)
    results = {
        "PRelu / LeakyRelu, AMC-Net 384x384": _compare(amcnet, _with_prelu, options.runs),
        "81 slices / banded products, PWC-Net 384x384": _compare(pwcnet, _with_slices, options.runs),
    }
    for name, figures in results.items():
        ms = f"{figures['other_ms']:.0f} / {figures['ours_ms']:.0f} ms"
        print(f"{name}: ratio {figures['ratio']:.3f} ({figures['ratio_min']:.3f} to {figures['ratio_max']:.3f}), {ms}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def _compare(model: onnx.ModelProto, change: Callable[[onnx.ModelProto], None], runs: int) -> dict[str, float]:
    ours = _session(model)
    change(model)
    other = _session(model)
    rng = np.random.default_rng(0)
    inputs = {i.name: rng.standard_normal(i.shape).astype(np.float32) for i in ours.get_inputs()}
    difference = max(
        float(np.abs(a - b).max()) for a, b in zip(ours.run(None, inputs), other.run(None, inputs), strict=True)
    )
    assert difference < 1e-2, f"the two forms differ by {difference}"
    pairs = [(_milliseconds(other, inputs), _milliseconds(ours, inputs)) for _ in range(runs)]
    ratios = [a / b for a, b in pairs]
    return {
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "other_ms": statistics.median(a for a, _ in pairs),
        "ours_ms": statistics.median(b for _, b in pairs),
    }


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def _milliseconds(session: Any, inputs: dict[str, NDArray[np.float32]]) -> float:
    begin = time.perf_counter()
    session.run(None, inputs)
    return 1e3 * (time.perf_counter() - begin)


def _with_prelu(model: onnx.ModelProto) -> None:
    from onnx import numpy_helper

    for index, node in enumerate(n for n in model.graph.node if n.op_type == "LeakyRelu"):
        slope = np.full((1, 1, 1), node.attribute[0].f, np.float32)
        model.graph.initializer.append(numpy_helper.from_array(slope, f"slope_{index}"))
        node.op_type = "PRelu"
        del node.attribute[:]
        node.input.append(f"slope_{index}")


def _with_slices(model: onnx.ModelProto) -> None:
    from onnx import parser

    function = next(f for f in model.functions if f.name == "AmcCorrelation")
    function.CopyFrom(parser.parse_function(_CORRELATION_BY_SLICES))


if __name__ == "__main__":
    sys.exit(main())
