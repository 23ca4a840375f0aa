"""Tables of optical flow and its networks, for readme_figures.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def flow_table(results: Path) -> str:
    """Time and end-point error of the sources of flow."""
    flow = _load(results / "flow.json")
    datasets = {"flyingchairs": "FlyingChairs", "middlebury": "Middlebury"}
    lines = ["| flow | input | processor ms | " + " | ".join(f"{name}, px" for name in datasets.values()) + " |"]
    lines.append("|---|---|---|" + "---|" * len(datasets))
    for row in flow["rows"]:
        errors = [f"{row['error_px'][name]:.2f}" if row["error_px"] else "" for name in datasets]
        size = "x".join(map(str, row["size"]))
        lines.append(f"| {row['method']} | {size} | {row['processor_ms']:.1f} | {' | '.join(errors)} |")
    machine, load = flow["machine"], " to ".join(f"{load:.0f}" for load in sorted(flow["load_average"]))
    pairs = ", ".join(f"{count} of {datasets[name]}" for name, count in flow["pairs"].items())
    lines.append(f"\nMedians over {sum(flow['pairs'].values())} pairs ({pairs}), each run once.")
    lines.append(f"{machine['cores']} cores of {machine['processor']}, shared with other programs: load {load}.")
    return "\n".join(lines) + "\n"


def flow_presets_table(results: Path) -> str:
    """Time and J&F by the setting of DIS."""
    study = _load(results / "flow-presets.json")
    lines = ["| DIS | processor ms | J | F | J&F | difference (95 % interval) |", "|---|---|---|---|---|---|"]
    for name, row in study["settings"].items():
        scores = " | ".join(f"{100 * row['average'][key]:.1f}" for key in ("J", "F", "J&F"))
        mean, (lower, upper) = row["difference"]["mean"], row["difference"]["interval"]
        difference = f"{100 * mean:+.1f} ({100 * lower:+.1f} to {100 * upper:+.1f})" if lower < upper else ""
        lines.append(f"| {name} | {row['processor_ms']:.1f} | {scores} | {difference} |")
    return "\n".join(lines) + "\n"


def raft_int8_table(results: Path) -> str:
    """Accuracy and time of RAFT in INT8."""
    study = _load(results / "raft-int8.json")
    lines = ["| RAFT small | change of the flow, px | FlyingChairs, px | Middlebury, px | processor ms |"]
    lines.append("|---|---|---|---|---|")
    for name, row in study["forms"].items():
        least, middle, most = row["difference_px"]
        change = f"{middle:.2f} ({least:.2f} to {most:.2f})" if most else ""
        errors = " | ".join(f"{row['error_px'][dataset]:.2f}" for dataset in ("flyingchairs", "middlebury"))
        lines.append(f"| {name} | {change} | {errors} | {row['processor_ms']:.0f} |")
    size, machine = "x".join(map(str, study["size"])), study["machine"]["processor"]
    lines.append(f"\n{study['pairs']} pairs at {size}, {study['iterations']} iterations, one thread of {machine}.")
    return "\n".join(lines) + "\n"


def lookup_table(results: Path) -> str:
    """Upper bound of the speedup of RAFT by a kernel for its lookup."""
    study = _load(results / "cpu-correlation.json")
    lines = [
        "| RAFT on a CPU | ms per call | with zero-cost lookup | upper bound of the speedup |",
        "|---|---|---|---|",
    ]
    for name, row in study["networks"].items():
        lines.append(f"| {name} | {row['ours_ms']:.0f} | {row['free_ms']:.0f} | {row['ratio']:.2f} |")
    lines.append(f"\n6 iterations; processor time in one thread of {study['environment']['processor']}.")
    return "\n".join(lines) + "\n"


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded
