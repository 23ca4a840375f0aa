"""The default of `--jobs`: as many processes as cores and memory allow."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from ..machine_info import available_cores

_WORKER_MIB = 700  # light takes 418 at 854x480, base 60 more; larger networks and videos take more


def default_jobs(*, on_gpu: bool, meminfo: Path = Path("/proc/meminfo")) -> int:
    """One process on a GPU, which several would only share; else one for each core that memory allows, at least one.

    Opening and closing a video keeps one core busy: a process for each core is faster than one process with all cores,
    the more so the shorter the videos are. Measured by benchmarks/studies/batch_speed.py.
    """
    if on_gpu:
        return 1
    jobs = available_cores()
    with suppress(OSError):
        available = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
        if available:
            jobs = min(jobs, int(available[1]) // 1024 // _WORKER_MIB)
    return max(1, jobs)
