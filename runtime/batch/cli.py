"""`amc-batch`: masks for every frame of many videos."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from ..argument_types import positive
from ..cli import add_explanations, add_options, files_first
from ..command import cli_entry_point
from ..interrupt import GracefulInterrupt
from ..version import __version__
from .shard import Shard

if TYPE_CHECKING:
    from .batch import BatchResult

_SOME_FAILED = 3
_EXAMPLES = """examples:
  amc-batch videos/ -o masks/                        all videos in a folder and below it
  amc-batch 'videos/*/front.mp4' -o masks/           a quoted pattern
  amc-batch videos/ -o masks/ --model base           the larger bundled network
  amc-batch list.txt -o masks/                       a path a line, or JSON lines; - reads standard input
  amc-batch s3://bucket/videos -o s3://bucket/masks  addresses (pip install 'amcnet[cloud]')
  amc-batch frames/ -o masks/ --image-folders        each folder of images is a clip
  amc-batch videos/ -o masks/ --dry-run              list the videos, estimate time and bytes
  amc-batch videos/ -o masks/ --ray 10.0.0.1:6379    on a Ray cluster (pip install 'amcnet[ray]')
  amc-batch videos/ -o masks/ --shard 0/8            the first of eight machines

The same command again goes on where it ended: what is done is passed over, what was begun is resumed.

writes OUT/PATH/ as amc-infer does, PATH being the video's path without its suffix, OUT/status/PATH.json,
OUT/summary.csv (summary.parquet with pyarrow) and OUT/summary.html
exit status: 0 all done, 3 some videos failed, 2 an error whose message says how to fix it, 130 Ctrl-C, 143 SIGTERM,
129 SIGHUP
"""


@cli_entry_point
def main() -> int:
    arguments = vars(_parser().parse_args(files_first(sys.argv[1:])))
    from ..infer import InferOptions  # here: PyAV and OpenCV are slow to import, and --help does not use them
    from .batch import run_batch
    from .estimate import dry_run
    from .options import BatchOptions
    from .progress import BatchProgress

    add_explanations(arguments)
    each = {field.name: arguments[field.name] for field in fields(InferOptions) if field.name in arguments}
    arguments["infer"] = InferOptions(**each | {"source": "", "output": "", "overwrite": False})
    arguments["sources"] = tuple(arguments["sources"])
    options = BatchOptions(**{field.name: arguments[field.name] for field in fields(BatchOptions)})
    if arguments["dry_run"]:
        for line in dry_run(options):
            print(line)
        return 0
    with GracefulInterrupt(after_frame=True) as graceful_interrupt, closing(BatchProgress()) as progress:
        result = run_batch(options, progress, graceful_interrupt.check)
    _print_summary(result)
    return _SOME_FAILED if result.failed else 0


def _print_summary(result: BatchResult) -> None:
    left = f", {result.left} left by --limit" if result.left else ""
    print(f"{result.done} videos done, {result.earlier} done earlier, {len(result.failed)} failed{left}")
    for file in result.files:
        print(f"summary  {file}")
    for relative, message in result.failed:
        print(f"failed: {relative}: {message}", file=sys.stderr)
    if result.failed:
        print("try these again with --retry-failed", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="amc-batch",
        description="Segment the main moving object in every frame of many videos.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="videos, folders, quoted patterns, addresses, lists (.txt, .jsonl), or -",
    )
    parser.add_argument(
        "-o", "--output", type=_folder, required=True, metavar="OUT", help="folder, or address of one, to write to"
    )
    batch = parser.add_argument_group("batch")
    batch.add_argument("--image-folders", action="store_true", help="take folders of images as clips, not videos")
    batch.add_argument("--jobs", type=positive, metavar="N", help="processes (one a core, as far as memory allows)")
    batch.add_argument("--timeout", type=_seconds, metavar="S", help="seconds that one video may take (no limit)")
    batch.add_argument("--retries", type=_count, default=1, metavar="N", help="how often to repeat a failed video (1)")
    batch.add_argument("--limit", type=positive, metavar="N", help="begin at most N videos (all)")
    batch.add_argument("--shard", type=Shard.parse, metavar="I/N", help="do part I of N, counted from 0 (all)")
    batch.add_argument(
        "--ray",
        nargs="?",
        const=os.environ.get("RAY_ADDRESS", "auto"),
        metavar="HOST:PORT",
        help="run on this Ray cluster ($RAY_ADDRESS, or the one of this machine)",
    )
    batch.add_argument("--dry-run", action="store_true", help="list what would be done, and estimate time and bytes")
    earlier = batch.add_mutually_exclusive_group()
    earlier.add_argument("--retry-failed", action="store_true", help="repeat the videos that failed in an earlier run")
    earlier.add_argument("--overwrite", action="store_true", help="replace all results of earlier runs")
    parser.add_argument("--version", action="version", version=f"amcnet {__version__}")
    add_options(parser.add_argument_group("each video, as in amc-infer"))
    return parser


def _folder(text: str) -> str | Path:
    return text if "://" in text else Path(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"got {text!r}, expected an integer of 0 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected seconds above 0, such as 600")
    return seconds
