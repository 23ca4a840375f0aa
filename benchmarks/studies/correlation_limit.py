"""Upper bound of the speedup by a custom kernel for the correlation of PWC-Net or the lookup of RAFT.

    python -m amcnet.benchmarks.studies.correlation_limit [--networks NAME ...] [--json FILE]

Compares a network (seeded weights) as exported with a copy whose correlation, or lookup, costs nothing: it reads a
little of each input and writes a tensor of the right shape. No kernel is faster, so the ratio of the two networks
bounds the speedup of every kernel. Runs in ONNX Runtime in FP32: on the CPU in one thread, in processor time, which
depends little on other programs; with --device cuda as a CUDA graph with inputs in GPU memory, in wall time, and also
in FP16. The two networks alternate; the result is the median of the ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.machine_info import DEVICES
from ..latency.environment import environment
from ..latency.latency import host_clock

Size = tuple[int, int]

_RUNS = 10  # per network and round
_FREE_CORRELATION = """<domain: "amcnet", opset_import: ["" : 17]>
AmcCorrelation (first, second) => (correlation) {
    zero = Constant <value = int64[1] {0}> ()
    one = Constant <value = int64[1] {1}> ()
    often = Constant <value = int64[4] {1, CHANNELS, 1, 1}> ()
    a = Slice (first, zero, one, one)
    b = Slice (second, zero, one, one)
    plane = Add (a, b)
    correlation = Tile (plane, often)
}"""
# One element of each volume is read, so that the volumes are still computed.
_FREE_LOOKUP = """<domain: "amcnet", opset_import: ["" : 17]>
AmcCorrelationLookup (volume0, volume1, volume2, volume3, coordinates, offsets) => (correlation) {
    starts = Constant <value = int64[3] {0, 0, 0}> ()
    ends = Constant <value = int64[3] {1, 1, 1}> ()
    axes = Constant <value = int64[3] {0, 2, 3}> ()
    zero = Constant <value = int64[1] {0}> ()
    one = Constant <value = int64[1] {1}> ()
    often = Constant <value = int64[4] {1, CHANNELS, 1, 1}> ()
    a = Slice (volume0, starts, ends, axes)
    b = Slice (volume1, starts, ends, axes)
    c = Slice (volume2, starts, ends, axes)
    d = Slice (volume3, starts, ends, axes)
    x = Slice (coordinates, zero, one, one)
    plane = Sum (a, b, c, d, x)
    correlation = Tile (plane, often)
}"""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A flow network and its input sizes (width, height). free: its function without cost; channels: of its result.

    iterations: of a RAFT, large or small; 0 for a PWC-Net.
    """

    sizes: tuple[Size, ...]
    free: str
    channels: int
    iterations: int = 0
    large: bool = False

    @property
    def free_function(self) -> str:
        """Text of the function without cost."""
        return self.free.replace("CHANNELS", str(self.channels))


SUBJECTS = {
    "PWC-Net": Subject(sizes=((384, 384), (896, 512)), free=_FREE_CORRELATION, channels=81),
    "RAFT small": Subject(sizes=((256, 256),), free=_FREE_LOOKUP, channels=4 * 7**2, iterations=6),
    "RAFT large": Subject(sizes=((256, 256),), free=_FREE_LOOKUP, channels=4 * 9**2, iterations=6, large=True),
}


@cli_entry_point
def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--networks", nargs="+", choices=SUBJECTS, default=list(SUBJECTS), help="(default: all)")
    options.add_argument("--device", choices=DEVICES, default="cpu", help="(default: cpu)")
    options.add_argument("--rounds", type=int, default=9, help=f"rounds of {_RUNS} runs each (default: 9)")
    options.add_argument("--json", type=Path, help="write the results to this file")
    arguments = options.parse_args()
    require("correlation_limit", "torch", "onnx", "onnxscript", "onnxruntime")
    results = {}
    for network, size in [(name, size) for name in arguments.networks for size in SUBJECTS[name].sizes]:
        for precision, figures in correlation_limit(network, size, arguments.device, arguments.rounds).items():
            name = f"{network} {size[0]}x{size[1]}, {precision}"
            results[name] = figures
            times = f"{figures['ours_ms']:.3f} / {figures['free_ms']:.3f} ms"
            print(f"{name}: at most {figures['ratio']:.3f}x, {times}", flush=True)
    if arguments.json:
        found = {"environment": environment(), "device": arguments.device, "networks": results}
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def correlation_limit(network: str, size: Size, device: str, rounds: int) -> dict[str, dict[str, Any]]:
    """By precision: latencies in ms, and the ratio of the exported `network` of SUBJECTS to that of `with_free`."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        ours = _exported(SUBJECTS[network], size, Path(folder))
        free = with_free(ours, SUBJECTS[network].free_function)
        results["fp32"] = _compare(ours, free, device, rounds)
        if device == "cuda":
            results["fp16"] = _compare(_fp16(ours), _fp16(free), device, rounds)
    return results


def with_free(path: Path, function: str) -> Path:
    """Write a copy of the file at `path` beside it, with `function` in place of the one of the same name."""
    import onnx
    from onnx import parser

    model, free = onnx.load(path), parser.parse_function(function)
    next(found for found in model.functions if found.name == free.name).CopyFrom(free)
    onnx.save(model, path.with_name("free.onnx"))
    return path.with_name("free.onnx")


def _exported(subject: Subject, size: Size, folder: Path) -> Path:
    from ...export import Seed, export_pwcnet, export_raft
    from ...models import RAFTConfig

    if not subject.iterations:
        return export_pwcnet(Seed(number=1), folder, size=size).file.path
    config = RAFTConfig(large=subject.large, iterations=subject.iterations)
    return export_raft(Seed(number=1), folder, config=config, size=size).file.path


def _fp16(path: Path) -> Path:
    from ...engines.precision.fp16 import convert_to_fp16

    return convert_to_fp16(path, path.with_suffix(".fp16.onnx")).path


def _compare(ours: Path, free: Path, device: str, rounds: int) -> dict[str, Any]:
    runs = [_run(path, device) for path in (ours, free)]
    clock = host_clock if device == "cuda" else _processor_clock
    times = [[statistics.median(clock(run) for _ in range(_RUNS)) for run in runs] for _ in range(rounds + 1)]
    times = times[1:]  # the first is the warm-up
    ratios = [a / b for a, b in times]
    return {
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "ours_ms": statistics.median(a for a, _ in times),
        "free_ms": statistics.median(b for _, b in times),
    }


def _processor_clock(work: Callable[[], object]) -> float:
    """Processor time of a call in ms."""
    begin = time.process_time()
    work()
    return 1e3 * (time.process_time() - begin)


def _run(path: Path, device: str) -> Callable[[], object]:
    file = OnnxFile.read(path)
    backend = OnnxRuntimeBackend(file, 1, device)
    width, height = file.preprocessing.size
    rng = np.random.default_rng(0)
    inputs = {name: rng.random((1, 3, height, width), np.float32) for name in ("frame", "next_frame")}
    backend.run(inputs)
    return backend.binding.rerun if backend.binding is not None else lambda: backend.run(inputs)


if __name__ == "__main__":
    sys.exit(main())
