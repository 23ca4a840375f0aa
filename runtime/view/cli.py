"""`amc-view`: one HTML page of the run in a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..command import cli_entry_point
from ..version import __version__

_EXAMPLES = """examples:
  amc-infer video.mp4 && amc-view video-amcnet       writes video-amcnet/page.html
  amc-view video-amcnet -o /tmp/video.html

The page holds the overlay video, the masks, area and steadiness over time, stage times and notes, and needs no network.
An overlay above 32 MiB is linked instead of embedded: move such a page together with the folder.
exit status: 0 done, 2 an error with a message that says what to do, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP
"""


@cli_entry_point
def main() -> int:
    arguments = _parser().parse_args()
    from .page import write_page  # here: OpenCV and PyAV are slow to import, and --help does not use them
    from .recorded_run import RecordedRun

    path = arguments.output or arguments.run / "page.html"
    write_page(path, RecordedRun.read(arguments.run))
    print(path)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="amc-view",
        description="Write one HTML page of a run of amc-infer.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="output folder of amc-infer")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="file to write (default: RUN/page.html)")
    parser.add_argument("--version", action="version", version=f"amcnet {__version__}")
    return parser
