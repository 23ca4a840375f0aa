"""Tables of amc-batch, for readme_figures.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def batch_table(results: Path) -> str:
    """Videos a minute and memory by processes, overhead per video, and the cost of a long list."""
    batch = _load(results / "batch.json")
    rows = batch["jobs"]["rows"]
    jobs = sorted({row["jobs"] for row in rows})
    lines = ["| videos a minute with `--jobs` | " + " | ".join(map(str, jobs)) + " |", "|---|" + "---|" * len(jobs)]
    for clip in dict.fromkeys((row["frames_per_clip"], *row["size"]) for row in rows):
        own = [row for row in rows if (row["frames_per_clip"], *row["size"]) == clip]
        speeds = " | ".join(f"{row['videos_per_minute']:.1f}" for row in own)
        lines.append(f"| {clip[0]} frames of {clip[1]}x{clip[2]} | {speeds} |")
    peaks = [max(row["memory_mib"] for row in rows if row["jobs"] == each) for each in jobs]
    lines.append(f"| memory of the processes, MiB | {' | '.join(f'{peak:.0f}' for peak in peaks)} |")
    overhead, driver = batch["overhead"], batch["driver"]
    frames = overhead["frames_per_clip"]
    width, height = overhead["size"]
    lines += [
        f"\n{overhead['clips']} clips of {frames} frames take {overhead['ratio']:.2f} times as long as one clip of "
        f"{overhead['clips'] * frames} frames\n({width}x{height}, one process), and {overhead['processor_ratio']:.2f} "
        f"times the processor time. A video costs {overhead['per_video_s']:.3f} s beside its\nframes; "
        f"{overhead['beside_infer_s']:.3f} s of it are spent outside of what `amc-infer` does for a video.",
        f"\nThe command that finds {driver['videos']:,} videos done lists them, reads their status and writes the "
        f"summary in\n{driver['seconds']:.0f} s ({driver['processor_s']:.0f} s of processor time) with "
        f"{driver['memory_mib']:.0f} MiB.",
    ]
    machine, loads = batch["machine"], [load for part in batch.values() for load in part.get("load_average", [])]
    lines.append(
        f"\n{overhead['backend']}; {machine['cores']} cores of {machine['processor']}, load {min(loads):.0f} to "
        f"{max(loads):.0f}."
    )
    return "\n".join(lines) + "\n"


def throughput_line(results: Path) -> str:
    """Videos a minute of `amc-batch` with its default of one process for each core."""
    batch = _load(results / "batch.json")
    cores = batch["machine"]["cores"]
    row = next(row for row in reversed(batch["jobs"]["rows"]) if row["jobs"] == cores and row["frames_per_clip"] == 24)
    width, height = row["size"]
    return (
        f"`amc-batch`: {row['videos_per_minute']:.0f} videos of {row['frames_per_clip']} frames of {width}x{height} a "
        f"minute on {cores} cores.\n"
    )


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded
