"""The figures in the README, from the reports of runs: python -m amcnet.benchmarks.readme_figures [--check]

Reads benchmarks/results/*.json (each the run.json of an `amc-infer` run) and writes the table between the two marks.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .. import AmcNetError, command

_BEGIN, _END = "<!-- begin figures -->\n", "<!-- end figures -->"


@command
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("."), help="the repository (the current folder)")
    parser.add_argument("--check", action="store_true", help="change nothing; status 2 if the README is out of date")
    arguments = parser.parse_args()
    readme = arguments.root / "README.md"
    text = readme.read_text()
    updated = with_figures(text, arguments.root / "benchmarks" / "results")
    if arguments.check and updated != text:
        raise AmcNetError("the README's figures are not those of benchmarks/results; run this without --check")
    if updated != text:
        readme.write_text(updated)
    return 0


def with_figures(readme: str, results: Path) -> str:
    """The text of the README with the table that the reports in `results` give."""
    head, rest = readme.split(_BEGIN)
    _, tail = rest.split(_END)
    runs = {path.stem: json.loads(path.read_text()) for path in sorted(results.glob("run-*.json"))}
    return head + _BEGIN + _table(runs) + _END + tail


def _table(runs: dict[str, dict[str, Any]]) -> str:
    stages = list(next(iter(runs.values()))["latency_ms"])
    lines = [
        "| run | frames | frames/s | " + " | ".join(stages) + " |",
        "|---|---|---|" + "---|" * len(stages),
    ]
    for name, report in runs.items():
        times = " | ".join(f"{report['latency_ms'][stage]['p50']:.1f}" for stage in stages)
        lines.append(f"| {name.removeprefix('run-')} | {report['frames']} | {report['fps']:.2f} | {times} |")
    backends = sorted({f"{report['backend']}; {report['machine']['processor']}" for report in runs.values()})
    lines.append(f"\nMedian ms per frame and stage; the stages overlap. {'; '.join(backends)}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
