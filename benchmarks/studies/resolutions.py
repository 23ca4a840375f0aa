"""Cost of `amc-infer` by resolution: python -m amcnet.benchmarks.studies.resolutions [--frames N] [--json FILE]

Whole runs of `amc-infer` with masks and overlay on the footage of the demo, scaled to 240p up to 4K. Beside each stands
its floor: the same file decoded and encoded again as `amc-infer` does it, with nothing in between. Both alternate; the
ratio is the median over the rounds. Loading is not included. Wall time depends on other programs, processor time hardly
does.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.frame import MaskFrame
from ...runtime.freed_memory import keep_freed_memory
from ...runtime.infer import InferOptions, infer
from ...runtime.machine_info import available_cores, processor_name
from ...runtime.opencv_state import single_threaded_opencv
from ...runtime.output.video_writer import VideoWriter
from ...runtime.prefetch import prefetch
from ...runtime.segmenter import Segmenter
from ...runtime.video.reader import open_frames
from ..demo import FOOTAGE
from ._whole_runs import now, per_frame_ms, scale_clip, study_parser, write_json

SIZES = {"240p": (426, 240), "480p": (854, 480), "720p": (1280, 720), "1080p": (1920, 1080), "4K": (3840, 2160)}


@cli_entry_point
def main() -> int:
    arguments = study_parser(__doc__, rounds=5, frames=40).parse_args()
    require("resolutions", "onnxruntime", "openvino")
    keep_freed_memory()  # as amc-infer does
    results = measure(SIZES, arguments.frames, arguments.rounds)
    write_json(arguments.json, results)
    return 0


def measure(sizes: dict[str, tuple[int, int]], frames: int, rounds: int) -> dict[str, Any]:
    """Whole runs and floors by size, in ms per frame, and the share of each stage; prints each row when it is there."""
    load_before, rows = os.getloadavg()[0], {}
    with tempfile.TemporaryDirectory() as name, Segmenter.load() as segmenter:
        folder = Path(name)
        for size_name, size in sizes.items():
            clip = folder / f"{size_name}.mp4"
            scale_clip(FOOTAGE, clip, size, frames)
            run(clip, folder / "out", segmenter)  # warm-up
            pairs = [(run(clip, folder / "out", segmenter), floor(clip, folder / "out.mp4")) for _ in range(rounds)]
            rows[size_name] = row = {"size": list(size)} | _row(pairs)
            print(
                f"{size_name}: {row['whole']['wall_ms']:.1f} ms, floor {row['floor']['wall_ms']:.1f} ms, "
                f"ratio {row['ratio']:.2f}; processor {row['whole']['processor_ms']:.1f} and "
                f"{row['floor']['processor_ms']:.1f} ms, ratio {row['processor_ratio']:.2f}",
                flush=True,
            )
        backend = segmenter.network.name
    return {
        "clip": FOOTAGE.name,
        "frames": frames,
        "rounds": rounds,
        "backend": backend,
        "rows": rows,
        "load_average": [load_before, os.getloadavg()[0]],
        "machine": {"processor": processor_name(), "cores": available_cores()},
    }


def run(clip: Path, output: Path, segmenter: Segmenter) -> dict[str, Any]:
    """ms per frame of `infer` on `clip`, and the median ms of its stages."""
    begin = now()
    report = infer(InferOptions(source=clip, output=output, overwrite=True), segmenter=segmenter)
    return per_frame_ms(begin, report["frames"]) | {
        "stages_ms": {stage: ms["p50"] for stage, ms in report["latency_ms"].items()}
    }


def floor(clip: Path, output: Path) -> dict[str, float]:
    """ms per frame of decoding `clip` and encoding its frames, in the threads and with the settings of `infer`."""
    begin, done = now(), 0
    with (
        single_threaded_opencv,
        open_frames(clip) as reader,
        VideoWriter(output, reader.info, lambda m: m.frame.pixels, name="copy") as video,
        closing(prefetch(reader)) as frames,
    ):
        for frame in frames:
            # Values that are not written, in no memory.
            mask = np.broadcast_to(np.False_, frame.pixels.shape[:2])
            video.write(MaskFrame(frame, mask, np.broadcast_to(np.float32(0), mask.shape)))
            done += 1
    return per_frame_ms(begin, done)


def _row(pairs: list[tuple[dict[str, Any], dict[str, float]]]) -> dict[str, Any]:
    """Medians over the rounds; each pair is a whole run and its floor."""
    wholes, floors = zip(*pairs, strict=True)
    stages = {stage: statistics.median(each["stages_ms"][stage] for each in wholes) for stage in wholes[0]["stages_ms"]}
    times = ("wall_ms", "processor_ms")
    return {
        "whole": {name: round(statistics.median(each[name] for each in wholes), 2) for name in times},
        "floor": {name: round(statistics.median(each[name] for each in floors), 2) for name in times},
        "ratio": round(statistics.median(whole["wall_ms"] / floor["wall_ms"] for whole, floor in pairs), 3),
        "processor_ratio": round(
            statistics.median(whole["processor_ms"] / floor["processor_ms"] for whole, floor in pairs), 3
        ),
        "stages_ms": stages,
        "shares": {stage: round(ms / sum(stages.values()), 4) for stage, ms in stages.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
