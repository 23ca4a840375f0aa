"""`amc-demo`: a local page that segments a video dropped into it."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from ..argument_types import positive
from ..command import cli_entry_point
from ..extras import require
from ..freed_memory import keep_freed_memory
from ..machine_info import DEVICES
from ..version import __version__
from .options import DemoOptions

_EXAMPLES = """examples:
  amc-demo                                 the bundled networks at http://127.0.0.1:7860
  amc-demo build/amcnet.onnx --port 8000   also offers this network
  ssh -L 7860:127.0.0.1:7860 HOST          opens the page of another machine at http://127.0.0.1:7860

The page is served to this machine alone and uses no network. Videos wait in a queue and are segmented one at a time.
The files of a visitor are removed when the page is closed, and all files when the command ends.
exit status: 2 an error with a message that says what to do, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP
"""


@cli_entry_point
def main() -> int:
    arguments = vars(_parser().parse_args())
    require("amc-demo", "gradio")
    keep_freed_memory()
    from .server import serve  # here: PyAV and OpenCV are slow to import, and --help does not use them

    arguments["models"] = tuple(arguments["models"])
    options = DemoOptions(**{field.name: arguments[field.name] for field in fields(DemoOptions)})
    serve(options, lambda address: print(f"serving {address}; Ctrl-C ends it", flush=True))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="amc-demo",
        description="Serve a page on this machine that segments a video dropped into it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "models", nargs="*", type=Path, metavar="FILE", help="AMC-Net (ONNX or engine) to offer, besides the bundled"
    )
    parser.add_argument(
        "--flow", default="dis", metavar="dis|FILE", help="dis (default) or PWC-Net file, for all networks"
    )
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="device of ONNX files (default: cpu)")
    parser.add_argument(
        "--max-frames", type=positive, default=1500, metavar="N", help="longest video in frames (default: 1500)"
    )
    parser.add_argument(
        "--max-mib", type=positive, default=200, metavar="N", help="largest video in MiB (default: 200)"
    )
    parser.add_argument(
        "--max-waiting", type=positive, default=20, metavar="N", help="longest queue; others are refused (default: 20)"
    )
    parser.add_argument("--port", type=int, default=7860, metavar="N", help="port, 0 for a free one (default: 7860)")
    parser.add_argument("--version", action="version", version=f"amcnet {__version__}")
    return parser
