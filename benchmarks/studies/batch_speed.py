"""Cost of `amc-batch`: overhead per video, videos a minute and memory by processes, and the listing of 100,000 videos.

    python -m amcnet.benchmarks.studies.batch_speed --json benchmarks/results/batch.json

The clips are rendered at 854x480, and segmented by the bundled network in FP32 with flow by DIS.

overhead: a loaded process segments N clips of 24 frames, then one clip of N x 24 frames, in turn. The difference of the
two times, divided by N - 1, is what a video costs beside its frames.
jobs: whole batches, loading included; memory is the sum of the peaks of all worker processes.
driver: what `amc-batch` does beside the videos when it resumes a batch that is done: list, compare, summarize.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ...runtime.batch.batch import run_batch
from ...runtime.batch.layout import Layout
from ...runtime.batch.options import BatchOptions, segmenter_arguments, settings_sha256
from ...runtime.batch.progress import BatchProgress
from ...runtime.batch.status import DONE, Key, Status
from ...runtime.batch.video import Video
from ...runtime.batch.worker import segment_video
from ...runtime.command import cli_entry_point
from ...runtime.infer import InferOptions
from ...runtime.machine_info import available_cores, processor_name
from ...runtime.segmenter import Segmenter
from ..demo_clip import write_clip

SHORT_FRAMES = 24
JOBS = (1, 2, 4)
PARTS = ("overhead", "jobs", "driver")
PER_FOLDER = 1000


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="parts to measure (default: all)")
    parser.add_argument("--clips", type=int, default=20, help="clips of 24 frames for the overhead (default: 20)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the overhead (default: 3)")
    parser.add_argument("--batch", type=int, default=16, help="clips in each batch of `jobs` (default: 16)")
    parser.add_argument("--videos", type=int, default=100_000, help="videos to list (default: 100,000)")
    parser.add_argument("--driver", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--json", type=Path, help="write the results to this file; parts that are not measured are kept"
    )
    arguments = parser.parse_args()
    if arguments.driver:
        print(json.dumps(_drive(arguments.driver)))
        return 0
    stored: dict[str, Any] = {}
    if arguments.json and arguments.json.exists():
        stored = json.loads(arguments.json.read_text())
    for part in arguments.parts:
        load_before = os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as folder:
            stored[part] = _measure(part, Path(folder), arguments)
        stored[part]["load_average"] = [load_before, os.getloadavg()[0]]
    results = {part: stored[part] for part in PARTS if part in stored}
    results["machine"] = {"processor": processor_name(), "cores": available_cores()}
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def _measure(part: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    if part == "overhead":
        return _overhead(folder, arguments.clips, arguments.rounds)
    if part == "jobs":
        return {"rows": _jobs(folder, arguments.batch)}
    return _driver(folder, arguments.videos)


def _overhead(folder: Path, clips: int, rounds: int) -> dict[str, Any]:
    """Medians of wall and processor seconds."""
    short, long = folder / "short.mp4", folder / "long.mp4"
    write_clip(short, SHORT_FRAMES)
    write_clip(long, clips * SHORT_FRAMES)
    options = InferOptions(source=short, output=folder / "warm", precision="fp32", overwrite=True)
    measured: dict[str, list[tuple[float, float]]] = {"many": [], "one": []}
    with Segmenter.load(**segmenter_arguments(options)) as segmenter:
        segment_video(options, segmenter, lambda info, done: None)
        for turn in range(rounds):
            measured["many"].append(_seconds([short] * clips, folder / f"many{turn}", segmenter))
            measured["one"].append(_seconds([long], folder / f"one{turn}", segmenter))
    (many, many_cpu), (one, one_cpu) = (
        [statistics.median(each[place] for each in measured[name]) for place in (0, 1)] for name in ("many", "one")
    )
    return {
        "clips": clips,
        "frames_per_clip": SHORT_FRAMES,
        "rounds": rounds,
        "many_s": many,
        "one_s": one,
        "ratio": many / one,
        "processor_ratio": many_cpu / one_cpu,
        "per_video_s": (many - one) / (clips - 1),
        "per_video_processor_s": (many_cpu - one_cpu) / (clips - 1),
        "frame_processor_s": one_cpu / clips / SHORT_FRAMES,
    }


def _seconds(sources: list[Path], folder: Path, segmenter: Segmenter) -> tuple[float, float]:
    """Wall and processor seconds."""
    begin, begin_cpu = time.perf_counter(), time.process_time()
    for place, source in enumerate(sources):
        options = InferOptions(source=source, output=folder / str(place), precision="fp32")
        segment_video(options, segmenter, lambda info, done: None)
    return time.perf_counter() - begin, time.process_time() - begin_cpu


class _Memory(BatchProgress):
    """Keeps the largest sum of the peaks of all worker processes, in MiB."""

    mib = 0.0

    def finished(self, video: Video, frames: int) -> None:
        super().finished(video, frames)
        workers = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        self.mib = max(self.mib, sum(_peak_mib(worker) for worker in workers))


def _peak_mib(process: str) -> float:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    except OSError:  # it has ended
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def _jobs(folder: Path, batch: int) -> list[dict[str, Any]]:
    rows = []
    for frames, clips in ((SHORT_FRAMES, batch), (4 * SHORT_FRAMES, max(1, batch // 4))):
        videos = folder / f"videos{frames}"
        videos.mkdir()
        write_clip(videos / "0.mp4", frames)
        for place in range(1, clips):
            (videos / f"{place}.mp4").write_bytes((videos / "0.mp4").read_bytes())
        for jobs in (jobs for jobs in JOBS if jobs <= clips):
            infer = InferOptions(source="", output="", precision="fp32")
            output = folder / f"out{frames}-{jobs}"
            progress, begin = _Memory(), time.perf_counter()
            result = run_batch(BatchOptions(sources=(str(videos),), output=output, infer=infer, jobs=jobs), progress)
            seconds = time.perf_counter() - begin
            assert result.done == clips, result
            rows.append(
                {
                    "frames_per_clip": frames,
                    "clips": clips,
                    "jobs": jobs,
                    "videos_per_minute": 60 * clips / seconds,
                    "seconds": seconds,
                    "memory_mib": progress.mib,
                }
            )
    return rows


def _driver(folder: Path, videos: int) -> dict[str, Any]:
    """In a process of its own, whose peak of memory is not that of this one."""
    listed = folder / "listed"
    options = _listed(listed)
    settings, layout = settings_sha256(options.infer), Layout(listed / "out")
    for place in range(videos):
        relative = f"{place // PER_FOLDER:05d}/clip{place}.mp4"
        source = listed / "videos" / relative
        source.parent.mkdir(parents=True, exist_ok=True)
        source.touch()
        video = Video.make(str(source), relative)
        images = [{"name": name, "frame": 0, "png": "x" * 600} for name in ("first", "middle", "worst")]
        key = Key.of(video.source, settings)
        status = Status(
            state=DONE, key=key, source=video.source, output=video.output, attempts=1, frames=24, images=images
        )
        status.write(layout.status(video))
    command = [sys.executable, "-m", __spec__.name, "--driver", str(listed)]
    result: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert result["earlier"] == videos, result
    return {"videos": videos} | result


def _listed(folder: Path) -> BatchOptions:
    infer = InferOptions(source="", output="", precision="fp32")
    return BatchOptions(sources=(str(folder / "videos"),), output=folder / "out", infer=infer)


def _drive(folder: Path) -> dict[str, Any]:
    begin, begin_cpu = time.perf_counter(), time.process_time()
    result = run_batch(_listed(folder))
    seconds, processor_seconds = time.perf_counter() - begin, time.process_time() - begin_cpu
    return {
        "earlier": result.earlier,
        "seconds": seconds,
        "processor_s": processor_seconds,
        "memory_mib": _peak_mib("self"),
    }


if __name__ == "__main__":
    sys.exit(main())
