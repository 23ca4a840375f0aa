"""Speed of INT8, BF16 and OpenVINO: python -m amcnet.benchmarks.studies.cpu_speed [--clip FILE] [--json FILE]

A bundled network (--model) in FP32, INT8 and BF16, as `amc-infer` runs it: one thread per frame and as many frames in
parallel as there are cores. OpenVINO runs INT8 and BF16 only where the CPU has the instructions. With --clip, whole
runs of `amc-infer` on it too, from decoding to written masks and overlay, in processes with and without OpenVINO. The
variants alternate; the results are medians of the ratios within a round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.backends.base import Backend
from ...runtime.backends.onnxruntime_backend import OnnxRuntimeBackend
from ...runtime.backends.openvino_backend import OpenVinoBackend
from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.files.bundled_network import MODELS, bundled_network
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.machine_info import available_cores, multiplies_bf16, multiplies_int8, processor_name
from .startup import INFER, WITHOUT_OPENVINO

_FRAMES = 12  # per variant, round and core


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help="bundled network (default: light)")
    parser.add_argument("--rounds", type=int, default=9, help="number of rounds (default: 9)")
    parser.add_argument("--clip", type=Path, help="also measure whole runs on this video")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    require("cpu_speed", "onnxruntime", "openvino")
    variants = variants_here(arguments.model)
    results: dict[str, Any] = {"network": _network(variants, arguments.rounds)}
    if arguments.clip:
        results["amc-infer"] = _whole_runs(variants, arguments.clip, arguments.rounds)
    instructions = {"int8": multiplies_int8(), "bf16": multiplies_bf16()}
    results["machine"] = {"processor": processor_name(), "cores": available_cores(), "instructions": instructions}
    results["model"] = arguments.model
    for part in ("network", "amc-infer"):
        for name, figures in results.get(part, {}).items():
            print(f"{part}, {name}: " + ", ".join(f"{key} {value:.2f}" for key, value in figures.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


@dataclass(frozen=True)
class Variant:
    """A library, and the precision of the bundled network `model` that it runs."""

    library: str
    precision: str
    model: str = "light"

    def open(self, file: OnnxFile, threads: int = 1) -> Backend:
        if self.library == "OpenVINO":
            return OpenVinoBackend(file, threads, bf16=self.precision == "bf16")
        return OnnxRuntimeBackend(file, threads)


def variants_here(model: str) -> list[Variant]:
    """The forms of a bundled network that `amc-infer` runs on this processor, ONNX Runtime in FP32 first."""
    forms = [("ONNX Runtime", "fp32"), ("ONNX Runtime", "int8"), ("OpenVINO", "fp32")]
    variants = [Variant(library, precision, model) for library, precision in forms]
    if multiplies_int8():
        variants.append(Variant("OpenVINO", "int8", model))
    if multiplies_bf16():
        variants.append(Variant("OpenVINO", "bf16", model))
    return variants


def _network(variants: list[Variant], rounds: int) -> dict[str, dict[str, float]]:
    """Wall ms per frame of the network alone."""
    files = {each: OnnxFile.read(bundled_network(each.model, each.precision, "cpu")) for each in variants}
    width, height = files[variants[0]].preprocessing.size
    rng = np.random.default_rng(0)
    inputs = {name: rng.standard_normal((1, 3, height, width)).astype(np.float32) for name in ("image", "flow_image")}
    networks = {variant: variant.open(files[variant]) for variant in variants}
    frames = _FRAMES * available_cores()
    with ThreadPoolExecutor(available_cores()) as pool:

        def run(variant: Variant) -> float:
            begin = time.perf_counter()
            list(pool.map(networks[variant].run, [inputs] * frames))
            return 1e3 * (time.perf_counter() - begin) / frames

        return _compare(variants, run, rounds)


def _whole_runs(variants: list[Variant], clip: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Wall ms per frame of `amc-infer` on `clip`, loading not included."""
    with tempfile.TemporaryDirectory() as folder:
        return _compare(variants, lambda variant: run_infer(variant, clip, Path(folder)), rounds)


def run_infer(variant: Variant, clip: Path, output: Path) -> float:
    """ms per frame of one `amc-infer` process, by its run.json."""
    code = INFER if variant.library == "OpenVINO" else WITHOUT_OPENVINO + INFER
    options = ["-o", str(output), "--overwrite", "--precision", variant.precision, "--model", variant.model]
    subprocess.run([sys.executable, "-c", code, str(clip), *options], stdout=subprocess.DEVNULL, check=True)
    report = json.loads((output / "run.json").read_text())
    assert report["backend"].startswith(variant.library), report["backend"]
    return 1e3 / float(report["fps"])


def _compare(variants: list[Variant], run: Callable[[Variant], float], rounds: int) -> dict[str, dict[str, float]]:
    """By variant: median and least ms of all rounds, and the time of the first variant divided by it (median, ends)."""
    for variant in variants:
        run(variant)  # warm-up
    times = [{variant: run(variant) for variant in variants} for _ in range(rounds)]
    results = {}
    for variant in variants:
        ratios = [ms[variants[0]] / ms[variant] for ms in times]
        results[f"{variant.library} {variant.precision}"] = {
            "p50_ms": statistics.median(ms[variant] for ms in times),
            "least_ms": min(ms[variant] for ms in times),
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
    return results


if __name__ == "__main__":
    sys.exit(main())
