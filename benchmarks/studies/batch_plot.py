"""Plot of `batch_speed`: videos a minute and memory by processes, from benchmarks/results/batch.json to docs/batch.svg.

python -m amcnet.benchmarks.studies.batch_plot
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.files.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("."), help="the repository (default: current folder)")
    root = parser.parse_args().root
    require("batch_plot", "matplotlib")
    rows = json.loads((root / "benchmarks" / "results" / "batch.json").read_text())["jobs"]["rows"]
    write_plot(root / "docs" / "batch.svg", rows)
    return 0


def write_plot(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write an SVG of the rows of batch.json; each value is a text in it. Raises OutputError."""
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "amcnet", "font.size": 9}):
        figure = _figure(rows)
        with replacing(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})


def _figure(rows: list[dict[str, Any]]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    jobs = sorted({row["jobs"] for row in rows})
    clips = list(dict.fromkeys((row["frames_per_clip"], *row["size"]) for row in rows))
    width = 1 / (len(clips) + 1)
    for place, clip in enumerate(clips):
        own = {row["jobs"]: row for row in rows if (row["frames_per_clip"], *row["size"]) == clip}
        centers = [index + (place - (len(clips) - 1) / 2) * width for index in range(len(jobs))]
        for axes, key in ((left, "videos_per_minute"), (right, "memory_mib")):
            values = [own[each][key] for each in jobs]
            bars = axes.bar(centers, values, width=width, label="{} frames, {}x{}".format(*clip))
            axes.bar_label(bars, labels=[f"{value:.0f}" for value in values], fontsize=6)
    for axes, title in ((left, "videos a minute"), (right, "memory of the processes, MiB")):
        axes.set(title=title, xlabel="processes (--jobs)", xticks=range(len(jobs)), xticklabels=jobs)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(clips), frameon=False)
    return figure


if __name__ == "__main__":
    sys.exit(main())
