"""Frames in the network at once: python -m amcnet.benchmarks.studies.frames_at_once [--rounds N] [--json FILE]

`amc-infer` computes as many frames at once as there are cores, at most four, and divides the cores among them. Whole
runs on the footage of the demo with other numbers of frames and of threads for each, in every precision of the bundled
network. All alternate, in reverse order every other round; each ratio is the time of the fixed choice divided by that
of another one, above 1 if the other is faster. Loading is not included.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ...runtime.backends.open_backend import open_backend
from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.infer import InferOptions, infer
from ...runtime.machine_info import available_cores, multiplies_bf16, processor_name
from ...runtime.mask_networks import TwoStreamNetwork, frames_at_once
from ...runtime.segmenter import Segmenter
from ...runtime.segmenter_plan import SegmenterPlan
from ..demo import FOOTAGE
from ._whole_runs import now, per_frame_ms, study_parser, write_json

Choice = tuple[int, int]  # frames at once, threads of each

AT_ONCE = (1, 2, 3, 4)
PAYS = 1.03  # the least ratio for which a measurement at the start of each run would be worth its code


@cli_entry_point
def main() -> int:
    arguments = study_parser(__doc__, rounds=5, frames=40).parse_args()
    require("frames_at_once", "onnxruntime", "openvino")
    results = measure(arguments.frames, arguments.rounds)
    for precision, rows in results["precisions"].items():
        for row in rows:
            choice = f"{row['frames_at_once']} frames at once, {row['threads']} threads each"
            ratio = f"{row['ratio']:.3f} ({row['ratio_min']:.3f} to {row['ratio_max']:.3f})"
            print(f"{precision}, {choice}: {row['wall_ms']:.1f} ms, ratio {ratio}")
    print(f"pays: {'; '.join(results['pays']) or 'nothing'}")
    write_json(arguments.json, results)
    return 0


def measure(frames: int, rounds: int) -> dict[str, Any]:
    """Wall ms per frame of each choice by precision; `pays` names those that are faster in all rounds, by 3 %."""
    precisions = ("fp32", "int8", "bf16") if multiplies_bf16() else ("fp32", "int8")
    load_before, results = os.getloadavg()[0], {}
    for precision in precisions:
        with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
            segmenters = open_segmenters(precision, stack)
            for segmenter in segmenters.values():
                _run(segmenter, 4, Path(name))  # warm-up
            times, order = [], list(segmenters)
            for number in range(rounds):
                print(f"{precision}, round {number + 1} of {rounds}", file=sys.stderr, flush=True)
                times.append({choice: _run(segmenters[choice], frames, Path(name)) for choice in order})
                order.reverse()
        results[precision] = [_row(choice, times) for choice in segmenters]
    return {
        "clip": FOOTAGE.name,
        "frames": frames,
        "rounds": rounds,
        "precisions": results,
        "pays": [
            f"{precision.upper()} {row['frames_at_once']}, {row['threads']}"
            for precision, rows in results.items()
            for row in rows
            if row["ratio"] >= PAYS and row["ratio_min"] > 1
        ],
        "load_average": [load_before, os.getloadavg()[0]],
        "machine": {"processor": processor_name(), "cores": available_cores()},
    }


def open_segmenters(precision: str, stack: ExitStack) -> dict[Choice, Segmenter]:
    """A Segmenter for each choice, the fixed one first; those with equal threads share a network."""
    plan = SegmenterPlan.make(precision=precision)
    threads = sorted({1, _fixed()[1], available_cores()})
    backends = {
        number: stack.enter_context(open_backend(plan.file, threads=number, bf16=plan.bf16)) for number in threads
    }
    choices = [_fixed(), *((at_once, number) for number in threads for at_once in AT_ONCE)]
    return {
        (at_once, number): Segmenter(plan, TwoStreamNetwork(plan, backends[number], at_once))
        for at_once, number in dict.fromkeys(choices)
    }


def _fixed() -> Choice:
    """The choice of `amc-infer`."""
    return frames_at_once(), max(1, available_cores() // frames_at_once())


def _run(segmenter: Segmenter, frames: int, folder: Path) -> float:
    """Wall ms per frame."""
    begin = now()
    options = InferOptions(source=FOOTAGE, output=folder / "out", frames=frames, overwrite=True)
    infer(options, segmenter=segmenter)
    return per_frame_ms(begin, frames)["wall_ms"]


def _row(choice: Choice, times: list[dict[Choice, float]]) -> dict[str, Any]:
    ratios = [each[_fixed()] / each[choice] for each in times]
    return {
        "frames_at_once": choice[0],
        "threads": choice[1],
        "wall_ms": round(statistics.median(each[choice] for each in times), 2),
        "ratio": round(statistics.median(ratios), 4),
        "ratio_min": round(min(ratios), 4),
        "ratio_max": round(max(ratios), 4),
    }


if __name__ == "__main__":
    sys.exit(main())
