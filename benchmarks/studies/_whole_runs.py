"""Parts that the studies of whole runs share: their options, clips and clocks."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import av


def study_parser(description: str | None, *, rounds: int, frames: int | None = None) -> argparse.ArgumentParser:
    """A parser with the options `--rounds` and `--json`, and `--frames` if it has a default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if frames is not None:
        text = f"frames of each run, at most 100 (default: {frames})"
        parser.add_argument("--frames", type=int, default=frames, help=text)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"number of rounds (default: {rounds})")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    return parser


def write_json(path: Path | None, results: dict[str, Any]) -> None:
    """Write `results` to the file of `--json`, if there is one."""
    if path is not None:
        path.write_text(json.dumps(results, indent=2) + "\n")


def scale_clip(source: Path, path: Path, size: tuple[int, int], frames: int) -> None:
    """Write the first `frames` frames of `source` to `path` at `size` (W, H), even numbers, as H.264."""
    with av.open(str(source)) as reading, av.open(str(path), "w") as writing:
        rate = reading.streams.video[0].average_rate
        stream = writing.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index, frame in enumerate(reading.decode(video=0)):
            if index == frames:
                break
            scaled = frame.reformat(width=size[0], height=size[1], format="yuv420p")
            scaled.pict_type = 0  # the encoder chooses, not the source
            writing.mux(stream.encode(scaled))
        writing.mux(stream.encode(None))


def now() -> tuple[float, float]:
    """Wall and processor time of this process, in seconds."""
    return time.perf_counter(), time.process_time()


def per_frame_ms(begin: tuple[float, float], frames: int) -> dict[str, float]:
    """Wall and processor ms per frame since `begin`, which is of `now`."""
    spent = (1e3 * (end - start) / frames for start, end in zip(begin, now(), strict=True))
    return dict(zip(("wall_ms", "processor_ms"), spent, strict=True))
