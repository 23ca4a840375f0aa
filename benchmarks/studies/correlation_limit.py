"""Upper bound of the speedup by a custom correlation kernel.

    python -m amcnet.benchmarks.studies.correlation_limit [--json FILE]

Compares PWC-Net (seeded weights) as exported with a copy whose correlation costs nothing: it reads one channel of each
feature map and writes a tensor of the right shape. No kernel is faster, so the ratio of the two networks bounds the
speedup of every kernel. Runs in ONNX Runtime in FP32; with --device cuda as a CUDA graph with inputs in GPU memory,
and also in FP16. The two networks alternate; the result is the median of the ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.machine_info import DEVICES, available_cores
from ..latency.environment import environment
from ..latency.latency import host_clock

SIZES = ((384, 384), (896, 512))
_RUNS = 10  # per network and round
FREE_CORRELATION = """<domain: "amcnet", opset_import: ["" : 17]>
AmcCorrelation (first, second) => (correlation) {
    zero = Constant <value = int64[1] {0}> ()
    one = Constant <value = int64[1] {1}> ()
    often = Constant <value = int64[4] {1, 81, 1, 1}> ()
    a = Slice (first, zero, one, one)
    b = Slice (second, zero, one, one)
    plane = Add (a, b)
    correlation = Tile (plane, often)
}"""


@cli_entry_point
def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--device", choices=DEVICES, default="cpu", help="(default: cpu)")
    options.add_argument("--rounds", type=int, default=9, help=f"rounds of {_RUNS} runs each (default: 9)")
    options.add_argument("--json", type=Path, help="write the results to this file")
    arguments = options.parse_args()
    require("correlation_limit", "torch", "onnx", "onnxscript", "onnxruntime")
    results = {}
    for size in SIZES:
        for name, figures in correlation_limit(size, arguments.device, arguments.rounds).items():
            results[f"PWC-Net {size[0]}x{size[1]}, {name}"] = figures
            times = f"{figures['ours_ms']:.3f} / {figures['free_ms']:.3f} ms"
            print(f"PWC-Net {size[0]}x{size[1]}, {name}: at most {figures['ratio']:.3f}x, {times}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"environment": environment(), "networks": results}, indent=2) + "\n")
    return 0


def correlation_limit(size: tuple[int, int], device: str, rounds: int) -> dict[str, dict[str, Any]]:
    """By precision: latencies in ms, and the ratio of the exported network to that with a zero-cost correlation."""
    import onnx
    from onnx import parser

    from ...export import Seed, export_pwcnet

    results = {}
    with tempfile.TemporaryDirectory() as folder:
        ours = export_pwcnet(Seed(number=1), Path(folder), size=size).file.path
        free = ours.with_name("free.onnx")
        model = onnx.load(ours)
        next(f for f in model.functions if f.name == "AmcCorrelation").CopyFrom(parser.parse_function(FREE_CORRELATION))
        onnx.save(model, free)
        results["fp32"] = _compare(ours, free, device, rounds)
        if device == "cuda":
            results["fp16"] = _compare(_fp16(ours), _fp16(free), device, rounds)
    return results


def _fp16(path: Path) -> Path:
    from ...engines.precision.fp16 import convert_to_fp16

    return convert_to_fp16(path, path.with_suffix(".fp16.onnx")).path


def _compare(ours: Path, free: Path, device: str, rounds: int) -> dict[str, Any]:
    runs = [_run(path, device) for path in (ours, free)]
    times = [[statistics.median(host_clock(run) for _ in range(_RUNS)) for run in runs] for _ in range(rounds + 1)]
    times = times[1:]  # the first is the warm-up
    ratios = [a / b for a, b in times]
    return {
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "ours_ms": statistics.median(a for a, _ in times),
        "free_ms": statistics.median(b for _, b in times),
    }


def _run(path: Path, device: str) -> Callable[[], object]:
    file = OnnxFile.read(path)
    backend = OnnxRuntimeBackend(file, available_cores(), device)
    width, height = file.preprocessing.size
    rng = np.random.default_rng(0)
    inputs = {name: rng.random((1, 3, height, width), np.float32) for name in ("frame", "next_frame")}
    backend.run(inputs)
    return backend.binding.rerun if backend.binding is not None else lambda: backend.run(inputs)


if __name__ == "__main__":
    sys.exit(main())
