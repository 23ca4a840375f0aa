"""`amc-infer`: masks for every frame of a video."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

from .. import __version__, command
from .infer import InferOptions, infer
from .progress import Progress

_EXAMPLES = """examples:
  amc-infer video.mp4 --amcnet amcnet.onnx                       flow by OpenCV's DIS, no further weights
  amc-infer video.mp4 --amcnet amcnet.onnx --flow pwcnet.onnx    flow by PWC-Net
  amc-infer frames/ --amcnet amcnet.onnx --flow raft-flow/       pictures, and flow that is there already
  amc-infer 'shot7/*.png' --amcnet amcnet.onnx -o shot7-masks --probability
  ffmpeg -i in.mkv -f yuv4mpegpipe - | amc-infer - --amcnet amcnet.onnx
  amc-infer video.mp4 --amcnet amcnet.onnx --resume              go on after Ctrl-C

writes OUTPUT/masks/NNNNN.png (0 and 255, the video's size), OUTPUT/overlay.mp4 and OUTPUT/run.json
exit status: 0 done, 2 an error whose message says how to mend it, 130 Ctrl-C
"""


@command
def main() -> int:
    arguments = vars(_parser().parse_args())
    arguments["output"] = arguments["output"] or Path(f"{_stem(arguments['source'])}-amcnet")
    options = InferOptions(**{field.name: arguments[field.name] for field in fields(InferOptions)})
    with closing(Progress()) as progress:
        try:
            report = infer(options, progress)
        except KeyboardInterrupt:
            progress.close()
            print(f"stopped; what is finished is in {options.output}; go on with --resume", file=sys.stderr)
            raise
    _print_summary(options.output, report)
    return 0


def _print_summary(output: Path, report: dict[str, Any]) -> None:
    for note in report["notes"]:
        print(f"note: {note}", file=sys.stderr)
    for file in report["settings"]["files"].values():
        if not file["trained"]:
            print(f"note: {file['name']} has untrained weights: these masks mean nothing", file=sys.stderr)
    stages = ", ".join(f"{stage} {q['p50']:.1f}" for stage, q in report["latency_ms"].items())
    print(f"{report['frames']} frames in {report['seconds']:.1f} s, {report['fps']:.1f} frames/s")
    print(f"median ms per frame (stages overlap): {stages}")
    print(f"masks    {output / 'masks'}\noverlay  {output / 'overlay.mp4'}\nreport   {output / 'run.json'}")


def _stem(source: str) -> str:
    """A name for the output: of the file or folder; of a pattern its folder's."""
    if source == "-":
        return "stdin"
    path = Path(source)
    return (path.parent.name if any(wildcard in path.name for wildcard in "*?[") else path.stem) or "frames"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="amc-infer",
        description="Segment the main moving object in every frame of a video.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", help="a video, a picture, a folder of pictures, a quoted pattern, or - for y4m")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder to write to (SOURCE-amcnet)")
    parser.add_argument("--amcnet", type=Path, required=True, metavar="FILE", help="AMC-Net, from export-onnx")
    parser.add_argument(
        "--flow", default="dis", metavar="dis|FILE|DIR", help="dis (default), a PWC-Net ONNX file, or a folder of flow"
    )
    parser.add_argument(
        "--threshold", type=float, default=0.5, metavar="P", help="a pixel of this probability is in the mask (0.5)"
    )
    parser.add_argument("--probability", action="store_true", help="write OUTPUT/probabilities/NNNNN.png too, 16 bits")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="first frame, counted from 0 (0)")
    parser.add_argument("--frames", type=int, metavar="N", help="how many frames at most (all)")
    parser.add_argument("--stride", type=int, default=1, metavar="N", help="take every N-th frame (1)")
    parser.add_argument("--resume", action="store_true", help="go on with the run that OUTPUT holds")
    parser.add_argument("--overwrite", action="store_true", help="replace the run that OUTPUT holds")
    parser.add_argument("--version", action="version", version=f"amcnet {__version__}")
    return parser
