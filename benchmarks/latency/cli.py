"""Measure the latency of networks and whole frames on this machine, or compare two reports."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ...runtime.backends.base import DEVICES
from ...runtime.command import cli_entry_point
from ...runtime.files.atomic import make_folder, replacing
from .bench import BenchOptions, bench
from .compare import TOLERANCE, compare, comparison_table, machine_change
from .report_html import report_page
from .report_markdown import headlines, report_markdown

_DESCRIPTION = """\
Measure the latency of networks and whole frames on this machine, check whether the measurement was stable, and report
how it compares with the paper's 57 ms per frame. `amc-bench compare --help` describes the comparison of two reports.
"""
_EXAMPLES = """\
examples:
  amc-bench                                             the bundled network on a rendered clip; takes a minute
  amc-bench build/amcnet.onnx build/pwcnet.onnx --video clip.mp4 -o report/
  amc-bench build/amcnet.onnx --against baselines       also PyTorch, ONNX Runtime and OpenVINO, if installed
  amc-bench --scaling                                   also by resolution, batch size, clip length, parallel videos
  amc-bench compare before/report.json after/report.json --tolerance 0.05

Writes index.html (self-contained), report.md and report.json into the output folder.
exit status: 0 success, 1 compare found a regression, 2 error
"""


@cli_entry_point
def main() -> int:
    """Entry point of `amc-bench`."""
    if sys.argv[1:2] == ["compare"]:
        return _compare(sys.argv[2:])
    arguments = _arguments()
    make_folder(arguments.output)
    report = bench(_options(arguments), progress=_print_progress)
    write_report(report, arguments.output)
    print("\n".join(f"{subject}: {figure}; {meaning}" for subject, figure, meaning in headlines(report)))
    for warning in report["stability"]["warnings"]:
        print(f"unstable: {warning}")
    print(f"report: {arguments.output / 'index.html'}, report.md, report.json")
    return 0


def write_report(report: dict[str, Any], folder: Path) -> None:
    """Write report.json, report.md and index.html. Raises OutputError."""
    texts = {
        "report.json": json.dumps(report, indent=1, allow_nan=False) + "\n",
        "report.md": report_markdown(report),
        "index.html": report_page(report),
    }
    for name, text in texts.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _compare(arguments: list[str]) -> int:
    """Entry point of `amc-bench compare`: print the table; 1 if a row is a regression."""
    parser = argparse.ArgumentParser(
        prog="amc-bench compare",
        description="Compare two reports row by row, corrected for the speed of the machine. Status 1 on a regression.",
    )
    parser.add_argument("first", type=Path, metavar="A.json", help="report.json of the reference measurement")
    parser.add_argument("second", type=Path, metavar="B.json", help="report.json of the measurement to check")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        help=f"relative slowdown that is not yet a regression (default: {TOLERANCE})",
    )
    options = parser.parse_args(arguments)
    differences = compare(options.first, options.second)
    print(comparison_table(differences, options.tolerance))
    change = machine_change(options.first, options.second)
    print(
        f"In {options.second} the reference matrix product was {abs(change):.1%} "
        f"{'slower' if change > 0 else 'faster'}; the changes above are corrected for it."
    )
    return int(any(difference.is_regression(options.tolerance) for difference in differences))


def _print_progress(text: str) -> None:
    """Show `text` on stderr in place of the text before it; nothing if stderr is not a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:100]}", end="", file=sys.stderr, flush=True)


def _options(arguments: argparse.Namespace) -> BenchOptions:
    return BenchOptions(
        files=tuple(arguments.files),
        video=arguments.video,
        baselines=arguments.against == "baselines",
        checkpoint=arguments.checkpoint,
        device=arguments.device,
        scaling=arguments.scaling,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="amc-bench",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "files",
        type=Path,
        nargs="*",
        metavar="FILE",
        help="ONNX files or engines of AMC-Net, PWC-Net and RAFT (default: the bundled network)",
    )
    add("--video", type=Path, metavar="CLIP", help="source of the input frames (default: a rendered clip, 854x480)")
    add("--against", choices=("baselines",), help="also measure PyTorch, ONNX Runtime and OpenVINO, if installed")
    add("--checkpoint", type=Path, metavar="FILE", help="weights for PyTorch (default: random; latency is the same)")
    add("--device", choices=DEVICES, default="cpu", help="device that runs the ONNX files (default: cpu)")
    add("--scaling", action="store_true", help="also measure scaling with resolution, batch and clip length; minutes")
    add("-o", "--output", type=Path, default=Path("report"), metavar="DIR", help="output folder (default: report)")
    return parser.parse_args()
