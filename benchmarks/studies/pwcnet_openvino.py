"""Speed of PWC-Net in OpenVINO and in ONNX Runtime on this CPU: python -m amcnet.benchmarks.studies.pwcnet_openvino

FP32 with seeded weights, one frame in one thread, in turns. The times are processor time, which hardly depends on other
programs. difference_px is the largest difference of the two flows, of which the largest vector is largest_px long.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from ...runtime.backends.openvino_backend import OpenVinoBackend
from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.inputs.clip_inputs import ClipInputs
from ...runtime.machine_info import available_cores, processor_name
from ..demo_clip import write_clip

SIZES = ((384, 384), (896, 512))


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="number of rounds (default: 9)")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    require("pwcnet_openvino", "torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "openvino")
    from ...export import Seed, export_pwcnet

    results: dict[str, Any] = {"machine": {"processor": processor_name(), "cores": available_cores()}, "networks": {}}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # an empty cache of compiled networks
        write_clip(Path(folder) / "clip.mp4", 3)
        for size in SIZES:
            file = export_pwcnet(Seed(number=1), Path(folder), size=size).file
            name = f"PWC-Net {size[0]}x{size[1]}"
            results["networks"][name] = found = compare(file, Path(folder) / "clip.mp4", arguments.rounds)
            print(f"{name}: {', '.join(f'{key} {value}' for key, value in found.items())}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def compare(file: OnnxFile, clip: Path, rounds: int) -> dict[str, Any]:
    """Processor ms of both libraries, ONNX Runtime / OpenVINO, seconds to load, and the difference of their flows."""
    batches = [item.inputs for item in ClipInputs(file, [clip])]
    opened: list[Any] = []
    ort_load_s = _processor_seconds(lambda: opened.append(OnnxRuntimeBackend(file, 1)))
    openvino_load_s = _processor_seconds(lambda: opened.append(OpenVinoBackend(file, 1)))
    with opened[0] as ort, opened[1] as openvino:
        pairs = [(ort.run(inputs)["flow"], openvino.run(inputs)["flow"]) for inputs in batches]
        times = [
            tuple(_processor_seconds(partial(network.run, batches[0])) for network in (ort, openvino))
            for _ in range(rounds)
        ]
    ratios = [slow / fast for slow, fast in times]
    return {
        "onnxruntime_ms": round(1e3 * statistics.median(slow for slow, _ in times), 1),
        "openvino_ms": round(1e3 * statistics.median(fast for _, fast in times), 1),
        "ratio": round(statistics.median(ratios), 4),
        "ratio_min": round(min(ratios), 4),
        "ratio_max": round(max(ratios), 4),
        "onnxruntime_load_s": round(ort_load_s, 2),
        "openvino_load_s": round(openvino_load_s, 2),
        "difference_px": float(max(np.abs(first - second).max() for first, second in pairs)),
        "largest_px": float(max(np.linalg.norm(first, axis=1).max() for first, _ in pairs)),
    }


def _processor_seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


if __name__ == "__main__":
    sys.exit(main())
