"""Plot of a search: fidelity against the fraction of multiply-adds in INT8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def write_search_plot(path: Path, trials: Sequence[tuple[float, float]], bound: float, unit: str) -> None:
    """Write `path`, a PNG of the (fraction, fidelity) pairs and of `bound`. Raises ImportError without matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*trials, strict=True), "o-")
    axes.axhline(bound, color="gray", linestyle=":")
    axes.set(xlabel="fraction of multiply-adds in INT8", ylabel=unit)
    figure.savefig(path)
