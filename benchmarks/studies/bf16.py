"""Accuracy, speed and start-up of the bundled network in FP32, BF16 and INT8 on this CPU, in OpenVINO.

    python -m amcnet.benchmarks.studies.bf16 --davis DIR [--json FILE]

The accuracy gate of INT8, on the held-out sequences of the DAVIS-2016 training set: mean IoU with the masks of the FP32
file in ONNX Runtime, at least 0.98. J is the IoU with the annotations. Speed and start-up are processor time, which
hardly depends on other programs: one frame in one thread, in turns; and loading the network, with an empty (cold) and a
filled (warm) cache. `--precision auto` is chosen from the results; a test compares the two.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...export.compare.accuracy_gate import MIN_MEAN_IOU
from ...export.compare.fidelity import MaskFidelity
from ...export.compare.onnx_run import onnx_run
from ...runtime.backends.open_backend import require_bf16
from ...runtime.backends.openvino_backend import OpenVinoBackend
from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.files.bundled_network import DEFAULT_AMCNET, DEFAULT_INT8
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.inputs.clip_inputs import ClipInputs
from ...runtime.machine_info import available_cores, processor_name
from ...runtime.metrics.mask_iou import mask_iou
from ...runtime.preprocessing.resize import upsample_mask
from ...training.data.davis import find_sequences, hold_out, read_mask

PRECISIONS = ("fp32", "bf16", "int8")
EVERY = 3
_FRAMES_A_ROUND = 4
Inputs = Mapping[str, NDArray[Any]]


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", type=Path, required=True, help="the DAVIS-2016 training set")
    parser.add_argument("--rounds", type=int, default=40, help="rounds of the speed measurement (default: 40)")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    require("bf16", "onnxruntime", "openvino")
    require_bf16(OnnxFile.read(DEFAULT_AMCNET), "cpu")
    with tempfile.TemporaryDirectory() as folder:
        results = measure(arguments.davis, arguments.rounds, Path(folder))
    for precision, figures in results["precisions"].items():
        print(f"{precision}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def measure(davis: Path, rounds: int, folder: Path) -> dict[str, Any]:
    """All results; compiled networks are cached in `folder`."""
    os.environ["XDG_CACHE_HOME"] = str(folder)
    with ExitStack() as stack:
        networks = {precision: stack.enter_context(_open(precision)) for precision in PRECISIONS}
        frames = list(_frames(davis))
        agreement = {precision: _agreement(network, frames) for precision, network in networks.items()}
        figures = {precision: found.to_json() for precision, found in agreement.items()}
        for precision, network in networks.items():
            region = [mask_iou(frame.annotation, frame.mask(network.run(frame.inputs)["mask"])) for frame in frames]
            passed = agreement[precision].mean_iou >= MIN_MEAN_IOU["int8"]
            figures[precision] |= {"J": float(np.mean(region)), "passed": passed}
            figures[precision]["deterministic"] = _is_deterministic(network, [frame.inputs for frame in frames[::12]])
        speed = _speed(networks, [frame.inputs for frame in frames], rounds)
    startup = _startup(folder)
    return {
        "network_sha256": {path.name: OnnxFile.read(path).sha256() for path in (DEFAULT_AMCNET, DEFAULT_INT8)},
        "frames": {"count": len(frames), "every": EVERY, "sequences": sorted({frame.sequence for frame in frames})},
        "min_mean_iou": MIN_MEAN_IOU["int8"],
        "precisions": {name: figures[name] | speed[name] | startup[name] for name in PRECISIONS},
        "machine": {"processor": processor_name(), "cores": available_cores(), "library": networks["fp32"].name},
        "load_average": os.getloadavg()[0],
    }


def _open(precision: str) -> OpenVinoBackend:
    file = OnnxFile.read(DEFAULT_INT8 if precision == "int8" else DEFAULT_AMCNET)
    return OpenVinoBackend(file, 1, bf16=precision == "bf16")


@dataclass(frozen=True, eq=False)
class _Frame:
    """Inputs of the network for a frame, its annotation (H, W) bool, and the network's output for it in FP32."""

    sequence: str
    inputs: Inputs
    annotation: NDArray[np.bool_]
    reference: NDArray[np.float32]

    def mask(self, output: NDArray[np.float32]) -> NDArray[np.bool_]:
        """`output` (1, 1, h, w) as a mask of the size of the frame."""
        height, width = self.annotation.shape
        return upsample_mask(output[0, 0], (width, height)) >= 0.5


def _frames(davis: Path) -> Iterator[_Frame]:
    """Every third frame of the held-out sequences."""
    reference = onnx_run(DEFAULT_AMCNET)
    for sequence in hold_out(find_sequences(davis))[1]:
        for item in ClipInputs(OnnxFile.read(DEFAULT_AMCNET), [sequence.frames[0].parent], every=EVERY):
            annotation = read_mask(sequence.annotations[item.frame.index]) > 0
            yield _Frame(sequence.name, item.inputs, annotation, np.asarray(reference(item.inputs)["mask"]))


def _agreement(network: OpenVinoBackend, frames: list[_Frame]) -> MaskFidelity:
    """Agreement with the masks of the reference at the size of the network, as in `AccuracyGate`."""
    ious, flipped = [], []
    for frame in frames:
        expected, found = frame.reference >= 0.5, network.run(frame.inputs)["mask"] >= 0.5
        ious.append(mask_iou(expected, found))
        flipped.append(float(np.mean(expected != found)))
    return MaskFidelity(iou=tuple(ious), flipped=float(np.mean(flipped)))


def _is_deterministic(network: OpenVinoBackend, batches: list[Inputs]) -> bool:
    """Whether several calls, two at a time, have equal outputs."""
    with ThreadPoolExecutor(2) as pool:
        runs = [list(pool.map(lambda inputs: network.run(inputs)["mask"], batches)) for _ in range(3)]
    return all(np.array_equal(first, other) for run in runs[1:] for first, other in zip(runs[0], run, strict=True))


def _speed(networks: Mapping[str, OpenVinoBackend], batches: list[Inputs], rounds: int) -> dict[str, dict[str, Any]]:
    """Processor ms per frame, and the time of FP32 divided by it: median and ends over rounds."""
    times = []
    for number in range(rounds):
        chosen = [batches[(number * _FRAMES_A_ROUND + k) % len(batches)] for k in range(_FRAMES_A_ROUND)]
        order = PRECISIONS if number % 2 else PRECISIONS[::-1]
        spent = {name: _processor_seconds(partial(_run_all, networks[name], chosen)) for name in order}
        times.append({name: 1e3 * seconds / _FRAMES_A_ROUND for name, seconds in spent.items()})
    ratios = {name: [each["fp32"] / each[name] for each in times] for name in PRECISIONS}
    return {
        name: {
            "processor_ms": round(statistics.median(each[name] for each in times), 3),
            "ratio": round(statistics.median(ratios[name]), 4),
            "ratio_min": round(min(ratios[name]), 4),
            "ratio_max": round(max(ratios[name]), 4),
        }
        for name in PRECISIONS
    }


def _run_all(network: OpenVinoBackend, batches: list[Inputs]) -> None:
    for inputs in batches:
        network.run(inputs)


def _startup(folder: Path, rounds: int = 5) -> dict[str, dict[str, float]]:
    """Processor seconds until the network is loaded and has run once; medians."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in PRECISIONS}
    for _ in range(rounds):
        for name in PRECISIONS:
            for file in folder.rglob("*.compiled"):
                file.unlink()
            cold, warm = (_processor_seconds(partial(_load, name)) for _ in range(2))
            spent[name].append((cold, warm))
    return {
        name: {
            key: round(statistics.median(values), 3)
            for key, values in zip(("cold_s", "warm_s"), zip(*pairs, strict=True), strict=True)
        }
        for name, pairs in spent.items()
    }


def _load(precision: str) -> None:
    _open(precision).close()


def _processor_seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


if __name__ == "__main__":
    sys.exit(main())
