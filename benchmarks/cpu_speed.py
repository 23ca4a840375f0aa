"""What int8 and OpenVINO gain on this CPU: python -m amcnet.benchmarks.cpu_speed [--json FILE]

The network inside, float and int8, in ONNX Runtime and in OpenVINO, as the runtime runs them: one thread a frame, as
many frames at once as there are cores. All run in turn; what counts are the medians of the ratios within a round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .. import command
from ..export.onnx_file import PREPROCESSING, OnnxFile
from ..export.preprocessing import Preprocessing
from ..runtime.backend import Backend, available_cores
from ..runtime.default_network import DEFAULT_AMCNET, DEFAULT_INT8
from ..runtime.infer import processor_name
from ..runtime.onnxruntime_backend import OnnxRuntimeBackend
from ..runtime.openvino_backend import OpenVinoBackend

_FRAMES = 12  # of each way in each round, by each core
_RATIOS = (
    ("ONNX Runtime fp32", "ONNX Runtime int8"),
    ("OpenVINO fp32", "OpenVINO int8"),
    ("ONNX Runtime fp32", "OpenVINO fp32"),
    ("ONNX Runtime int8", "OpenVINO int8"),
)


@command
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="(9)")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    results = measure(arguments.rounds)
    for name, figures in results["ms_per_frame"].items():
        print(f"{name:20} {figures['p50']:6.1f} ms per frame (least {figures['least']:.1f})")
    for name, figures in results["ratios"].items():
        print(f"{name}: {figures['ratio']:.2f} ({figures['ratio_min']:.2f} to {figures['ratio_max']:.2f})")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def measure(rounds: int) -> dict[str, Any]:
    """Wall milliseconds per frame of each way, and the ratios of ways in the same round."""
    files = {"fp32": OnnxFile.read(DEFAULT_AMCNET), "int8": OnnxFile.read(DEFAULT_INT8)}
    ways: dict[str, Backend] = {}
    for precision, file in files.items():
        ways[f"ONNX Runtime {precision}"] = OnnxRuntimeBackend(file, 1)
        ways[f"OpenVINO {precision}"] = OpenVinoBackend(file, 1)
    times: dict[str, list[float]] = {name: [] for name in ways}
    width, height = Preprocessing.from_json(files["fp32"].metadata[PREPROCESSING]).size
    rng = np.random.default_rng(0)
    feed = {name: rng.standard_normal((1, 3, height, width)).astype(np.float32) for name in ("image", "flow_image")}
    with ThreadPoolExecutor(available_cores()) as pool:
        for count in range(rounds + 1):  # the first to warm up
            for name, network in ways.items():
                begin = time.perf_counter()
                list(pool.map(network.run, [feed] * (_FRAMES * available_cores())))
                if count:
                    times[name].append(1e3 * (time.perf_counter() - begin) / (_FRAMES * available_cores()))
    ratios = {f"{a} / {b}": [x / y for x, y in zip(times[a], times[b], strict=True)] for a, b in _RATIOS}
    return {
        "ms_per_frame": {name: {"p50": statistics.median(ms), "least": min(ms)} for name, ms in times.items()},
        "ratios": {
            name: {"ratio": statistics.median(values), "ratio_min": min(values), "ratio_max": max(values)}
            for name, values in ratios.items()
        },
        "backends": {name: network.name for name, network in ways.items()},
        "machine": {"processor": processor_name(), "cores": available_cores()},
    }


if __name__ == "__main__":
    sys.exit(main())
