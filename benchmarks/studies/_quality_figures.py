"""Tables of the temporal filter and of the training ablation for the documents; see readme_figures.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def temporal_table(results: Path) -> str:
    """J and F of the temporal filter and of other forms of it on the held-out training sequences, and its time."""
    found = _load(results / "temporal.json")
    unseen, ms = len(found["unseen"]), found["processor_ms_per_frame"]
    all_of_them = len(found["variants"]["no filter"]["sequences"])
    lines = [
        f"| {all_of_them} held-out training sequences | J | F | J&F | gain in J&F (95 % interval) | stability "
        f"| J&F, {unseen} unseen |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in found["variants"].items():
        region, boundary, both, steady = (f"{100 * row['average'][key]:.1f}" for key in ("J", "F", "J&F", "stability"))
        mean, (lower, upper) = row["gain"]["J&F"]["mean"], row["gain"]["J&F"]["interval"]
        gain = "" if name == "no filter" else f"{100 * mean:+.1f} ({100 * lower:+.1f} to {100 * upper:+.1f})"
        unseen_both = f"{100 * row['average_unseen']['J&F']:.1f}"
        lines.append(f"| {name} | {region} | {boundary} | {both} | {gain} | {steady} | {unseen_both} |")
    lines.append(
        f"\nProcessor time per frame on one core at 256x256: filter {ms['filter']:.1f} ms, "
        f"a DIS call {ms['DIS call']:.1f} ms ({found['machine']['processor']})."
    )
    return "\n".join(lines) + "\n"


def ablation_table(results: Path) -> str:
    """J&F of short trainings without one ingredient of the recipe, a column per length."""
    variants = _load(results / "ablation.json")["variants"]
    lengths = sorted({length for scores in variants.values() for length in scores}, key=int)
    lines = ["| J&F after | " + " | ".join(f"{length} iterations" for length in lengths) + " |"]
    lines.append("|---|" + "---|" * len(lengths))
    for name, scores in variants.items():
        figures = [f"{100 * scores[length]['J&F']:.1f}" if length in scores else "" for length in lengths]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded
