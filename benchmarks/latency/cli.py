"""Measure the latency of networks and whole frames on this machine, or compare two reports."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from ...runtime.argument_types import positive
from ...runtime.command import cli_entry_point
from ...runtime.files.atomic import make_folder, replacing
from ...runtime.files.bundled_network import MODELS
from ...runtime.machine_info import DEVICES
from .bench import bench
from .compare import TOLERANCE, compare, comparison_table, machine_change
from .latency import MeasureOptions
from .options import BenchOptions
from .progress import BenchProgress
from .report_html import report_page
from .report_markdown import headlines, report_markdown

_DESCRIPTION = """\
Measure the latency of networks and whole frames on this machine, check whether the measurement was stable, and report
how it compares with the paper's 57 ms per frame. `amc-bench compare --help` describes the comparison of two reports.
"""
_EXAMPLES = """\
examples:
  amc-bench                                             the bundled network on a rendered clip; takes a minute or two
  amc-bench --model base                                the larger bundled network
  amc-bench --quick                                     rough figures in about a minute
  amc-bench --stable 600                                repeat until the medians are accurate to 2 %, at most 10 minutes
  amc-bench build/amcnet.onnx build/pwcnet.onnx --video clip.mp4 -o report/
  amc-bench build/amcnet.onnx --against baselines       also PyTorch, ONNX Runtime and OpenVINO, if installed
  amc-bench --scaling                                   also by resolution, batch size, clip length, parallel videos
  amc-bench compare before/report.json after/report.json --tolerance 0.05
  amc-bench compare this/report.json other/report.json --across-machines

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
    with closing(BenchProgress()) as progress:
        report = bench(_options(arguments), progress, progress.warn)
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
    parser.add_argument(
        "--across-machines",
        action="store_true",
        help="compare reports of two machines, relative to their measured peaks",
    )
    options = parser.parse_args(arguments)
    differences = compare(options.first, options.second, across_machines=options.across_machines)
    print(comparison_table(differences, options.tolerance))
    if options.across_machines:
        print("The changes are relative to the measured peak FLOP/s of each machine; 0 is the same share of the peak.")
        return int(any(difference.is_regression(options.tolerance) for difference in differences))
    change = machine_change(options.first, options.second)
    print(
        f"In {options.second} the reference matrix product was {abs(change):.1%} "
        f"{'slower' if change > 0 else 'faster'}; the changes above are corrected for it."
    )
    return int(any(difference.is_regression(options.tolerance) for difference in differences))


def _options(arguments: argparse.Namespace) -> BenchOptions:
    return BenchOptions(
        files=tuple(arguments.files),
        model=arguments.model,
        video=arguments.video,
        baselines=arguments.against == "baselines",
        baseline_limit=arguments.baseline_limit,
        checkpoint=arguments.checkpoint,
        device=arguments.device,
        scaling=arguments.scaling,
        quick=arguments.quick,
        measure=MeasureOptions(stable_seconds=arguments.stable),
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
        help="ONNX files or engines of AMC-Net, PWC-Net and RAFT (default: --model)",
    )
    add("--model", choices=MODELS, default=MODELS[0], help="bundled network to measure (default: light)")
    add("--video", type=Path, metavar="CLIP", help="source of the input frames (default: a rendered clip, 854x480)")
    add("--against", choices=("baselines",), help="also measure PyTorch, ONNX Runtime and OpenVINO, if installed")
    add(
        "--baseline-limit",
        type=positive,
        default=120,
        metavar="S",
        help="seconds after which a baseline that is not ready is reported as too slow (default: 120)",
    )
    add("--checkpoint", type=Path, metavar="FILE", help="weights for PyTorch (default: random; latency is the same)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="rough figures in about a minute")
    length.add_argument(
        "--stable",
        type=positive,
        nargs="?",
        const=300,
        metavar="S",
        help="repeat until the 95%% interval of each median is within 2%% of it, at most S seconds (300 if left out)",
    )
    add("--device", choices=DEVICES, default="cpu", help="device that runs the ONNX files (default: cpu)")
    add("--scaling", action="store_true", help="also measure scaling with resolution, batch and clip length; minutes")
    add("-o", "--output", type=Path, default=Path("report"), metavar="DIR", help="output folder (default: report)")
    return parser.parse_args()
