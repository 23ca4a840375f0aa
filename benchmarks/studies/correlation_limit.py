"""What a correlation kernel of our own could gain at most.

    python -m amcnet.benchmarks.studies.correlation_limit [--json FILE]

PWC-Net (seeded weights) as it is exported, against the same with a correlation that computes nothing: it reads one
channel of each map and writes a result of the right size. No kernel is faster than that, so the ratio of the two whole
networks is a bound for every kernel. In ONNX Runtime, on a GPU (--device cuda) with the inputs there and as a CUDA
graph; in float and, on a GPU, in half. Both run in turn, and what counts is the median of the ratios.
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
import onnx
from onnx import parser

from ...engines.precision.fp16 import convert_to_fp16
from ...export import Seed, export_pwcnet
from ...runtime.backends.base import DEVICES
from ...runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from ...runtime.command import cli_entry_point
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.machine_info import available_cores
from ..latency.environment import environment
from ..latency.latency import host_clock

SIZES = ((384, 384), (896, 512))
_RUNS = 10  # of each, a turn
_FREE = """<domain: "amcnet", opset_import: ["" : 17]>
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
    options.add_argument("--device", choices=DEVICES, default="cpu", help="(cpu)")
    options.add_argument("--turns", type=int, default=9, help=f"of {_RUNS} runs each (9)")
    options.add_argument("--json", type=Path, help="write the figures there")
    arguments = options.parse_args()
    results = {}
    for size in SIZES:
        for name, figures in correlation_limit(size, arguments.device, arguments.turns).items():
            results[f"PWC-Net {size[0]}x{size[1]}, {name}"] = figures
            times = f"{figures['ours_ms']:.3f} / {figures['free_ms']:.3f} ms"
            print(f"PWC-Net {size[0]}x{size[1]}, {name}: at most {figures['ratio']:.3f}x, {times}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"environment": environment(), "networks": results}, indent=2) + "\n")
    return 0


def correlation_limit(size: tuple[int, int], device: str, turns: int) -> dict[str, dict[str, Any]]:
    """By precision: `ratio`, the exported network's time by that of the one whose correlation is free, and its ends."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        ours = export_pwcnet(Seed(number=1), Path(folder), size=size).file.path
        free = ours.with_name("free.onnx")
        model = onnx.load(ours)
        next(f for f in model.functions if f.name == "AmcCorrelation").CopyFrom(parser.parse_function(_FREE))
        onnx.save(model, free)
        results["fp32"] = _compare(ours, free, device, turns)
        if device == "cuda":
            results["fp16"] = _compare(_halved(ours), _halved(free), device, turns)
    return results


def _halved(path: Path) -> Path:
    half = path.with_suffix(".fp16.onnx")
    convert_to_fp16(path, half)
    return half


def _compare(ours: Path, free: Path, device: str, turns: int) -> dict[str, Any]:
    runs = [_run(path, device) for path in (ours, free)]
    times = [[statistics.median(host_clock(run) for _ in range(_RUNS)) for run in runs] for _ in range(turns + 1)]
    times = times[1:]  # the first to warm up
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
    input_batches = {name: rng.random((1, 3, height, width), np.float32) for name in ("frame", "next_frame")}
    backend.run(input_batches)
    return backend.binding.rerun if backend.binding is not None else lambda: backend.run(input_batches)


if __name__ == "__main__":
    sys.exit(main())
