"""Time and memory of `amc-batch` beside its videos: list 100,000 of them, read their states, write the summary.

    python -m amcnet.benchmarks.studies.batch_listing

Makes a folder of empty files, named as videos, and the status files of a batch that has segmented them; then measures
the command that continues this batch: it lists, compares, summarizes, and ends.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...runtime.batch.batch import run_batch
from ...runtime.batch.layout import Layout
from ...runtime.batch.options import BatchOptions, settings_sha256
from ...runtime.batch.status import DONE, Key, Status
from ...runtime.batch.video import Video
from ...runtime.command import cli_entry_point
from ...runtime.infer import InferOptions

_PER_FOLDER = 1000
_IMAGES = [{"name": name, "frame": 0, "png": "x" * 600} for name in ("first", "middle", "worst")]


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=100_000, help="videos to list (default: 100,000)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure_listing(Path(folder), arguments.videos), indent=2))
    return 0


def measure_listing(folder: Path, videos: int) -> dict[str, Any]:
    """Seconds of wall and processor time, and the peak memory of this process in MiB."""
    infer = InferOptions(source="", output="", precision="fp32")
    options = BatchOptions(sources=(str(folder / "videos"),), output=folder / "out", infer=infer)
    _write_finished(folder, videos, settings_sha256(infer))
    begin, begin_processor = time.perf_counter(), time.process_time()
    result = run_batch(options)
    seconds, processor_seconds = time.perf_counter() - begin, time.process_time() - begin_processor
    assert result.earlier == videos, result
    return {"videos": videos, "seconds": seconds, "processor_s": processor_seconds, "memory_mib": peak_mib("self")}


def peak_mib(process: str) -> float:
    """The peak of the memory of a process of this machine, 0 if it has ended."""
    with suppress(OSError):  # not ru_maxrss, which begins with the peak of the parent
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0
    return 0.0


def _write_finished(folder: Path, videos: int, settings: str) -> None:
    layout = Layout(folder / "out")
    finished = Status(state=DONE, key=Key(settings, 0, 0), source="", output="", attempts=1, frames=24, images=_IMAGES)
    for place in range(videos):
        relative = f"{place // _PER_FOLDER:05d}/clip{place}.mp4"
        source = folder / "videos" / relative
        source.parent.mkdir(parents=True, exist_ok=True)
        source.touch()
        video = Video.make(str(source), relative)
        key = Key.of(video.source, settings)
        dataclasses.replace(finished, key=key, source=video.source, output=video.output).write(layout.status(video))


if __name__ == "__main__":
    sys.exit(main())
