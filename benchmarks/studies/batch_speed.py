"""Cost of `amc-batch`: many short videos against one long video, and videos a minute and memory by processes.

    python -m amcnet.benchmarks.studies.batch_speed --json benchmarks/results/batch.json

The default takes 10 minutes on two idle cores; with `--full`, 1000 short videos in place of 100, 40 minutes.
The clips are rendered, and segmented by the bundled network with the options that `amc-batch` has by default.

overhead: a batch of N clips of 24 frames, and a batch of one clip that repeats these frames N times, by one process at
160x96. The difference of the two times, divided by N - 1, is what a video costs beside its frames. The part beside
`amc-infer` is the time between two videos less the `seconds` of run.json.
jobs: batches by number of processes, length and size of the clips. Memory is the sum of the peaks of the processes.
driver: `batch_listing`, in a process of its own.

Times begin at the first frame, because loading the network is no cost of a video; `loading_s` is the time before.
Processor time is that of all processes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import av

from ...runtime.batch.batch import run_batch
from ...runtime.batch.options import BatchOptions
from ...runtime.batch.progress import BatchProgress
from ...runtime.batch.video import Video
from ...runtime.command import cli_entry_point
from ...runtime.infer import InferOptions
from ...runtime.machine_info import available_cores, processor_name
from ..demo_clip import write_clip
from .batch_listing import peak_mib

SMALL, LARGE = (160, 96), (854, 480)
SHORT, LONG = 24, 96  # frames
JOBS = (1, 2, 4)
PARTS = ("overhead", "jobs", "driver")
_TICKS = os.sysconf("SC_CLK_TCK")


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="parts to measure (default: all)")
    parser.add_argument("--clips", type=int, default=100, help="short clips of `overhead` (default: 100)")
    parser.add_argument("--full", action="store_const", const=1000, dest="clips", help="--clips 1000")
    parser.add_argument("--frames", type=int, default=384, help="frames in each batch of `jobs` (default: 384)")
    parser.add_argument("--videos", type=int, default=100_000, help="videos of `driver` (default: 100,000)")
    parser.add_argument("--json", type=Path, help="write the results to this file; parts not measured are kept")
    arguments = parser.parse_args()
    stored = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    for part in arguments.parts:
        _say(f"{part} ...")
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
        return _overhead(folder, arguments.clips)
    if part == "jobs":
        return _jobs(folder, arguments.frames)
    command = [sys.executable, "-m", "amcnet.benchmarks.studies.batch_listing", "--videos", str(arguments.videos)]
    listing: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return listing


def _overhead(folder: Path, clips: int) -> dict[str, Any]:
    many, one = folder / "many", folder / "one"
    _write_clips(many, clips, SHORT, SMALL)
    one.mkdir()
    repeat_clip(many / "0.mp4", one / "0.mp4", clips)
    many_watch, one_watch = _segment(many, 1), _segment(one, 1)
    between = many_watch.finished_seconds[-1] - many_watch.finished_seconds[0]
    inside = sum(_report(many_watch.output / str(place))["seconds"] for place in range(1, clips))
    beside = clips - 1
    return {
        "clips": clips,
        "frames_per_clip": SHORT,
        "size": SMALL,
        "backend": _report(many_watch.output / "0")["backend"],
        "many_s": many_watch.seconds,
        "one_s": one_watch.seconds,
        "ratio": many_watch.seconds / one_watch.seconds,
        "processor_ratio": many_watch.processor_s / one_watch.processor_s,
        "per_video_s": (many_watch.seconds - one_watch.seconds) / beside,
        "per_video_processor_s": (many_watch.processor_s - one_watch.processor_s) / beside,
        "beside_infer_s": (between - inside) / beside,
        "frame_s": one_watch.seconds / clips / SHORT,
    }


def _jobs(folder: Path, frames: int) -> dict[str, Any]:
    rows = []
    for (number, size), length in product(enumerate((SMALL, LARGE)), (SHORT, LONG)):
        clips = max(1, frames // length)
        videos = folder / f"videos-{number}-{length}"
        _write_clips(videos, clips, length, size)
        for jobs in JOBS:
            watch = _segment(videos, jobs)
            row = {"size": size, "frames_per_clip": length, "clips": clips, "jobs": jobs}
            row |= {
                "videos_per_minute": 60 * clips / watch.seconds,
                "frames_per_second": clips * length / watch.seconds,
            }
            row |= {"loading_s": watch.loading_s, "seconds": watch.seconds, "processor_s": watch.processor_s}
            rows.append(row | {"memory_mib": watch.memory_mib})
            _say(f"{clips} clips of {length} frames, {size[0]}x{size[1]}, {jobs} jobs: {watch.seconds:.1f} s")
    return {"rows": rows}


def _write_clips(folder: Path, clips: int, frames: int, size: tuple[int, int]) -> None:
    folder.mkdir()
    write_clip(folder / "0.mp4", frames, size)
    for place in range(1, clips):
        shutil.copyfile(folder / "0.mp4", folder / f"{place}.mp4")


def repeat_clip(source: Path, path: Path, times: int) -> None:
    """Write the clip `source` to `path`, `times` after each other, without encoding it again."""
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        packets = [packet for packet in given.demux(video=0) if packet.dts is not None]
        length = sum(packet.duration or 0 for packet in packets)
        starts = [(packet.pts or 0, packet.dts or 0) for packet in packets]
        for turn, (packet, (pts, dts)) in product(range(times), zip(packets, starts, strict=True)):
            packet.pts, packet.dts, packet.stream = pts + turn * length, dts + turn * length, stream
            container.mux(packet)


def _segment(videos: Path, jobs: int) -> _Watch:
    output = videos.with_name(f"{videos.name}-out-{jobs}")
    options = BatchOptions(sources=(str(videos),), output=output, infer=InferOptions(source="", output=""), jobs=jobs)
    watch = _Watch(output)
    result = run_batch(options, watch)
    assert not result.failed, result
    return watch


class _Watch(BatchProgress):
    """Time from the first frame to the end of each video, and processor time and memory of the worker processes."""

    def __init__(self, output: Path) -> None:
        super().__init__()
        self.output, self.finished_seconds = output, list[float]()
        self.loading_s = self.processor_s = self.memory_mib = 0.0
        self._begin, self._begin_processor, self._loaded = time.perf_counter(), 0.0, False

    @property
    def seconds(self) -> float:
        return self.finished_seconds[-1] - self.loading_s

    def frames(self, video: Video, done: int, expected: int | None) -> None:
        super().frames(video, done, expected)
        if not self._loaded:
            self._loaded, self._begin_processor = True, _processor_seconds()
            self.loading_s = time.perf_counter() - self._begin

    def finished(self, video: Video, frames: int) -> None:
        super().finished(video, frames)
        self.finished_seconds.append(time.perf_counter() - self._begin)
        self.processor_s = _processor_seconds() - self._begin_processor
        self.memory_mib = max(self.memory_mib, sum(map(peak_mib, _workers())))


def _workers() -> list[str]:
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()


def _processor_seconds() -> float:
    """Of this process and its workers."""
    ticks = 0
    for worker in _workers():
        fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / _TICKS


def _report(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return report


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
