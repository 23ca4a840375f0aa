"""amc-bench: how fast the networks and whole frames are here, whether that can be trusted, and how far the paper is."""

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

_EXAMPLES = """\
examples:
  amc-bench                                             the network inside, on a rendered clip: about a minute
  amc-bench build/amcnet.onnx build/pwcnet.onnx --video clip.mp4 -o report/
  amc-bench build/amcnet.onnx --against peers           beside PyTorch, OpenVINO and others that are installed
  amc-bench --scaling                                   and how the cost grows with size, batch, length and videos
  amc-bench compare before/report.json after/report.json --tolerance 0.05

writes report.json, report.md and index.html (one file, opens without a network) into the folder.
exit status: 0 done, 1 compare found a regression, 2 an error whose message says how to mend it
"""


@cli_entry_point
def main() -> int:
    """Measure and write the report, or compare two; see `amc-bench --help`."""
    if sys.argv[1:2] == ["compare"]:
        return _compare(sys.argv[2:])
    arguments = _arguments()
    make_folder(arguments.output)
    options = BenchOptions(
        files=tuple(arguments.files),
        video=arguments.video,
        peers=arguments.against == "peers",
        checkpoint=arguments.checkpoint,
        device=arguments.device,
        scaling=arguments.scaling,
    )
    report = bench(options, progress=_say)
    write_report(report, arguments.output)
    print("\n".join(f"{subject}: {figure}; {meaning}" for subject, figure, meaning in headlines(report)))
    for doubt in report["trust"]["doubts"]:
        print(f"unstable run: {doubt}")
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


def _compare(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="amc-bench compare", description="Compare two reports row by row.")
    parser.add_argument("first", type=Path, metavar="A.json", help="the report to compare with")
    parser.add_argument("second", type=Path, metavar="B.json", help="the report to judge")
    parser.add_argument(
        "--tolerance", type=float, default=TOLERANCE, help=f"how much slower is no regression yet ({TOLERANCE})"
    )
    arguments = parser.parse_args(words)
    differences = compare(arguments.first, arguments.second)
    print(comparison_table(differences, arguments.tolerance))
    change = machine_change(arguments.first, arguments.second)
    print(
        f"the machine itself was {abs(change):.1%} {'slower' if change > 0 else 'faster'}; the changes are beyond that"
    )
    return int(any(difference.is_regression(arguments.tolerance) for difference in differences))


def _say(text: str) -> None:
    """One line on stderr that the next one takes the place of; lines of a log where that is no terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:100]}", end="", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="amc-bench", description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "files", type=Path, nargs="*", metavar="FILE", help="ONNX files of AMC-Net and PWC-Net (the network inside)"
    )
    parser.add_argument("--video", type=Path, metavar="CLIP", help="frames to feed (a rendered clip of 854x480)")
    parser.add_argument("--against", choices=("peers",), help="measure the other libraries that are installed, too")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights for PyTorch (untrained ones)")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where our own rows run (cpu)")
    parser.add_argument("--scaling", action="store_true", help="measure how the cost grows, too: some minutes")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("report"), metavar="DIR", help="folder to write to (report)"
    )
    return parser.parse_args()
