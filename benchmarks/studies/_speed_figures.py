"""Tables of docs/benchmarks.md about whole runs of `amc-infer`: resolutions, other programs, frames at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def resolutions_table(results: Path) -> str:
    """Cost, floor and share of each stage by resolution, from resolutions.json."""
    study = _load(results / "resolutions.json")
    stages = list(next(iter(study["rows"].values()))["shares"])
    head = ["size", "ms per frame", "floor, ms", "ratio", "ratio of processor times", *stages]
    lines = [f"| {' | '.join(head)} |", "|---|" + "---|" * (len(head) - 1)]
    for name, row in study["rows"].items():
        times = f"{row['whole']['wall_ms']:.1f} | {row['floor']['wall_ms']:.1f}"
        ratios = f"{row['ratio']:.2f} | {row['processor_ratio']:.2f}"
        shares = " | ".join(f"{share:.0%}" for share in row["shares"].values())
        lines.append(f"| {name}, {'x'.join(map(str, row['size']))} | {times} | {ratios} | {shares} |")
    return "\n".join(lines) + f"\n\n{_runs(study)}; {study['backend']}.\n"


def peers_table(results: Path) -> str:
    """Time of each program and its ratio to that of `amc-infer`, from peer-loops.json."""
    study = _load(results / "peer-loops.json")
    lines = ["| program | ms per frame | processor ms | time / `amc-infer` |", "|---|---|---|---|"]
    for number, (name, row) in enumerate(study["loops"].items()):
        ratio = f"{row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})" if number else ""
        lines.append(f"| {name} | {row['wall_ms']:.1f} | {row['processor_ms']:.1f} | {ratio} |")
    return "\n".join(lines) + f"\n\n{_runs(study)}; `amc-infer`: {study['backend']}.\n"


def frames_at_once_table(results: Path) -> str:
    """Speed of other numbers of frames and threads, relative to those of `amc-infer`, from frames-at-once.json."""
    study = _load(results / "frames-at-once.json")
    precisions = study["precisions"]
    lines = ["| frames at once, threads of each | " + " | ".join(name.upper() for name in precisions) + " |"]
    lines.append("|---|" + "---|" * len(precisions))
    for rows in zip(*precisions.values(), strict=True):
        choice = f"{rows[0]['frames_at_once']}, {rows[0]['threads']}"
        if len(lines) == 2:
            cells = [f"{row['wall_ms']:.1f} ms" for row in rows]
            choice += " (as in `amc-infer`)"
        else:
            cells = [f"{row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})" for row in rows]
        lines.append(f"| {choice} | {' | '.join(cells)} |")
    pays = "; ".join(study["pays"]) or "none"
    return "\n".join(lines) + f"\n\nFaster in all rounds, by 3 % in the median: {pays}. {_runs(study)}.\n"


def _runs(study: dict[str, Any]) -> str:
    """ "Medians of 5 runs of 40 frames; 2 cores of AMD EPYC, load 0 to 2"."""
    load = " to ".join(f"{load:.0f}" for load in sorted(study["load_average"]))
    runs = f"{study['rounds']} run{'s' if study['rounds'] > 1 else ''} of {study['frames']} frames"
    return f"Medians of {runs}; {study['machine']['cores']} cores of {study['machine']['processor']}, load {load}"


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded
