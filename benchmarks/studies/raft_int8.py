"""Accuracy and time of RAFT in INT8: python -m amcnet.benchmarks.studies.raft_int8 DATA --raft FILE

RAFT as exported in FP32, with its convolutions in INT8, and with those of its encoders only, at 256x256 with 6
iterations in one thread of ONNX Runtime. DATA holds frame pairs with known flow, as for the study flow_speed. The
ranges are those of the same pairs, the most favorable case for INT8.

Reported per form: the median length over the pixels of the difference from the flow in FP32, least, median and greatest
over the pairs; the mean end-point error by data set, at the size of the frames; and the processor time per pair.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.flow.flow import resize_flow
from ...runtime.flow.learned_flow import flow_network_input
from ...runtime.machine_info import available_cores, processor_name
from .flow_speed import Pair, end_point_error, read_pairs

SIZE = (256, 256)
ITERATIONS = 6
_RUNS = 3  # per pair

Inputs = dict[str, NDArray[np.float32]]


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of frame pairs with known flow")
    parser.add_argument("--raft", type=Path, required=True, help="checkpoint of RAFT")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    require("raft_int8", "torch", "onnx", "onnxscript", "onnxruntime")
    pairs = read_pairs(arguments.data)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(dict(_forms(arguments.raft, pairs, Path(folder))), pairs)
    for name, row in rows.items():
        print(f"{name}: {row}")
    results = {
        "size": SIZE,
        "iterations": ITERATIONS,
        "pairs": len(pairs),
        "forms": rows,
        "load_average": os.getloadavg()[0],
        "machine": {"processor": processor_name(), "cores": available_cores()},
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def _forms(raft: Path, pairs: list[Pair], folder: Path) -> Iterator[tuple[str, OnnxFile]]:
    from ...calibration import calibrate_on_batches, quantize
    from ...export import export_raft
    from ...models import RAFTConfig

    fp32 = export_raft(raft, folder, config=RAFTConfig(iterations=ITERATIONS), size=SIZE).file
    yield "FP32", fp32
    batches = [_inputs(pair, fp32) for pair in pairs]
    every = calibrate_on_batches(fp32.path, folder / "raft.int8.onnx", batches, target="cpu")
    yield "INT8", OnnxFile.read(every.quantized.path)
    update = [name for name in every.quantized.int8_nodes if ".update." in name]
    encoders = quantize(fp32.path, folder / "encoders.onnx", every.table, target="cpu", keep_float=update)
    yield "INT8 in the encoders", OnnxFile.read(encoders.path)


def measure(forms: dict[str, OnnxFile], pairs: list[Pair]) -> dict[str, dict[str, Any]]:
    """Run each form on each pair, in turn; the first form is the reference of `difference_px`."""
    backends = {name: OnnxRuntimeBackend(file, 1) for name, file in forms.items()}
    times: dict[str, list[float]] = {name: [] for name in forms}
    differences: dict[str, list[float]] = {name: [] for name in forms}
    errors: dict[str, dict[str, list[float]]] = {name: {} for name in forms}
    for pair in pairs:
        reference: NDArray[np.float32] | None = None
        for name, backend in backends.items():
            inputs = _inputs(pair, forms[name])
            for _ in range(_RUNS):
                begin = time.process_time()
                flow = backend.run(inputs)["flow"][0].transpose(1, 2, 0)  # (h, w, 2)
                times[name].append(1e3 * (time.process_time() - begin))
            reference = flow if reference is None else reference
            differences[name].append(float(np.median(np.hypot(*np.moveaxis(flow - reference, -1, 0)))))
            error = end_point_error(resize_flow(flow, pair.frame.pixels.shape[1::-1]), pair.flow)
            errors[name].setdefault(pair.dataset, []).append(error)
    return {
        name: {
            "difference_px": [function(differences[name]) for function in (min, statistics.median, max)],
            "error_px": {dataset: statistics.mean(found) for dataset, found in errors[name].items()},
            "processor_ms": statistics.median(times[name]),
        }
        for name in forms
    }


def _inputs(pair: Pair, file: OnnxFile) -> Inputs:
    frames = {"frame": pair.frame, "next_frame": pair.next_frame}
    return {name: flow_network_input(frame, file.preprocessing) for name, frame in frames.items()}


if __name__ == "__main__":
    sys.exit(main())
