"""What int8 and OpenVINO gain on this CPU: python -m amcnet.benchmarks.studies.cpu_speed [--clip FILE] [--json FILE]

The network inside, float and int8, in ONNX Runtime and in OpenVINO, as the runtime runs them: one thread a frame, as
many frames at once as there are cores. With --clip, whole runs of `amc-infer` on it too, decode to written masks and
overlay. All run in turn; what counts are the medians of the ratios within a round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from ...runtime import mask_networks
from ...runtime.backends.base import Backend
from ...runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from ...runtime.backends.openvino_backend import OpenVinoBackend
from ...runtime.command import cli_entry_point
from ...runtime.files.bundled_network import bundled_network
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.infer import InferOptions, infer
from ...runtime.machine_info import available_cores, processor_name

_FRAMES = 12  # of each way in each round, by each core


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="(9)")
    parser.add_argument("--clip", type=Path, help="a video of 854x480")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    ways = [Way(library, precision) for library in ("ONNX Runtime", "OpenVINO") for precision in ("fp32", "int8")]
    results: dict[str, Any] = {"network": _network(ways, arguments.rounds)}
    if arguments.clip:
        results["amc-infer"] = _whole_runs(ways, arguments.clip, arguments.rounds)
    results |= {"machine": {"processor": processor_name(), "cores": available_cores()}}
    for what in ("network", "amc-infer"):
        for name, figures in results.get(what, {}).items():
            print(f"{what}, {name}: " + ", ".join(f"{key} {value:.2f}" for key, value in figures.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


@dataclass(frozen=True)
class Way:
    """How the network inside is run."""

    library: str
    precision: str

    def open(self, file: OnnxFile, threads: int = 1) -> Backend:
        return OpenVinoBackend(file, threads) if self.library == "OpenVINO" else OnnxRuntimeBackend(file, threads)


def _network(ways: list[Way], rounds: int) -> dict[str, dict[str, float]]:
    """Wall ms per frame of the network alone."""
    files = {precision: OnnxFile.read(bundled_network(precision, "cpu")) for precision in ("fp32", "int8")}
    width, height = files["fp32"].preprocessing.size
    rng = np.random.default_rng(0)
    feed = {name: rng.standard_normal((1, 3, height, width)).astype(np.float32) for name in ("image", "flow_image")}
    networks = {way: way.open(files[way.precision]) for way in ways}
    frames = _FRAMES * available_cores()
    with ThreadPoolExecutor(available_cores()) as pool:

        def run(way: Way) -> float:
            begin = time.perf_counter()
            list(pool.map(networks[way].run, [feed] * frames))
            return 1e3 * (time.perf_counter() - begin) / frames

        return _compare(ways, run, rounds)


def _whole_runs(ways: list[Way], clip: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Wall ms per frame of `amc-infer` on `clip`."""
    with tempfile.TemporaryDirectory() as folder:

        def run(way: Way) -> float:
            options = InferOptions(source=clip, output=folder, precision=way.precision, overwrite=True)
            with mock.patch.object(mask_networks, "open_backend", lambda file, threads, **_: way.open(file, threads)):
                return 1e3 / float(infer(options)["fps"])

        return _compare(ways, run, rounds)


def _compare(ways: list[Way], run: Callable[[Way], float], rounds: int) -> dict[str, dict[str, float]]:
    """By way: the median and the least ms of all rounds, and how many times slower the first way is (median, ends)."""
    for way in ways:
        run(way)  # warms up
    times = [{way: run(way) for way in ways} for _ in range(rounds)]
    results = {}
    for way in ways:
        ratios = [ms[ways[0]] / ms[way] for ms in times]
        results[f"{way.library} {way.precision}"] = {
            "p50_ms": statistics.median(ms[way] for ms in times),
            "least_ms": min(ms[way] for ms in times),
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
    return results


if __name__ == "__main__":
    sys.exit(main())
