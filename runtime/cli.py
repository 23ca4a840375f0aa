"""`amc-infer`: masks for every frame of a video."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .command import cli_entry_point
from .errors import AmcNetError
from .files.bundled_network import MODELS, PRECISIONS
from .freed_memory import keep_freed_memory
from .interrupt import GracefulInterrupt
from .machine_info import DEVICES
from .output.kinds import EXPLANATIONS, KINDS
from .version import __version__
from .video.selection import DEINTERLACE

if TYPE_CHECKING:
    from .frame import SourceInfo

_EXAMPLES = """examples:
  amc-infer video.mp4                              bundled network, flow by OpenCV's DIS
  amc-infer video.mp4 --model base                 the larger bundled network: slower, more accurate
  amc-infer video.mp4 --amcnet build/amcnet.onnx --flow build/pwcnet.onnx      flow by PWC-Net
  amc-infer video.mp4 --engine build/pipeline.engine                           pipeline on an NVIDIA GPU
  amc-infer frames/ --flow raft-flow/              images, precomputed flow
  amc-infer 'shot7/*.png' -o shot7-masks --write masks,probabilities
  amc-infer video.mp4 --write alpha-prores,rle     the object cut out, and COCO RLE
  amc-infer video.mp4 --write background --background '#00ff00'
  amc-infer video.mp4 --explain                    also attention maps and co-attention scores of each frame
  ffmpeg -i in.mkv -f yuv4mpegpipe - | amc-infer -
  amc-infer rtsp://camera/live --duration 60 -o live        a camera, for a minute; also http and https
  amc-infer video.mp4 --resume                     continue after Ctrl-C

writes OUTPUT/masks/NNNNN.png (0 and 255, the video's size) and OUTPUT/overlay.mp4, or what --write lists, and
OUTPUT/run.json
exit status: 0 done, 2 an error with a message that says what to do, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP
"""


@cli_entry_point
def main() -> int:
    arguments = _parse(sys.argv[1:])
    # Here: they are slow to import, --help does not use them, and Ctrl-C is handled by now.
    from .infer import InferOptions, infer
    from .output.progress import Progress

    keep_freed_memory()
    add_explanations(arguments)
    arguments["output"] = arguments["output"] or _default_output(arguments["source"])
    options = InferOptions(**{field.name: arguments[field.name] for field in fields(InferOptions)})
    with GracefulInterrupt(after_frame=True) as graceful_interrupt, closing(Progress()) as progress:

        def after_frame(info: SourceInfo, done: int) -> None:
            progress(info, done)
            graceful_interrupt.check()

        try:
            report = infer(options, after_frame, announce=lambda sentence: print(sentence, file=sys.stderr))
        except (KeyboardInterrupt, AmcNetError):
            progress.close()
            if progress.done:
                print(f"{progress.done} frames are done in {options.output}; continue with --resume", file=sys.stderr)
            raise
    _print_summary(Path(options.output), report)
    return 0


def _print_summary(output: Path, report: dict[str, Any]) -> None:
    for note in report["notes"]:
        print(f"note: {note}", file=sys.stderr)
    for file in report["settings"]["files"].values():
        if not file["trained"]:
            print(f"note: {file['name']} has untrained weights: the masks are meaningless", file=sys.stderr)
    stages = ", ".join(f"{stage} {q['p50']:.1f}" for stage, q in report["latency_ms"].items())
    print(f"{report['frames']} frames in {report['seconds']:.1f} s, {report['fps']:.1f} frames/s")
    print(f"median ms per frame (stages overlap): {stages}")
    files = {kind: written["path"] for kind, written in report["outputs"].items()} | {"report": "run.json"}
    for name, file in files.items():
        print(f"{name:<{max(map(len, files))}}  {output / file}")


def files_first(arguments: list[str]) -> list[str]:
    """The arguments, with `./` before those that begin with a dash and are a file: `-clip.mp4` is not an option."""
    return [f"./{each}" if each.startswith("-") and Path(each).is_file() else each for each in arguments]


def _parse(arguments: list[str]) -> dict[str, Any]:
    parser = _parser()
    parsed, others = parser.parse_known_args(files_first(arguments))
    sources = [parsed.source, *(each for each in others if not each.startswith("-"))]
    if len(sources) > 1:
        parser.error(
            f"got {len(sources)} sources ({', '.join(sources[:3])}{', …' * (len(sources) > 3)}), expected one. "
            "Fix: quote a pattern, e.g. 'frames/*.png', or name the folder; for several videos: amc-batch"
        )
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    return vars(parsed)


def _default_output(source: str) -> Path:
    """A folder in the current one, named after the file or folder, or after the folder of a pattern."""
    if source == "-":
        return Path("stdin-amcnet")
    if "://" in source:
        url = urlsplit(source)
        return Path(f"{Path(url.path).stem or url.hostname or 'frames'}-amcnet")
    path = Path(source)  # os.path: Path.exists raises where a name is too long or a folder must not be read
    while not os.path.exists(path) and any(wildcard in str(path) for wildcard in "*?[%"):
        path = path.parent
    path = path.resolve()
    return Path(f"{(path.name if os.path.isdir(path) else path.stem) or 'frames'}-amcnet")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="amc-infer",
        description="Segment the main moving object in every frame of a video.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", help="video, URL, image, folder of images, quoted pattern, or - for y4m on stdin")
    parser.add_argument(
        "-o", "--output", type=_folder, metavar="DIR", help="folder to write to (default: SOURCE-amcnet)"
    )
    add_options(parser)
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument("--resume", action="store_true", help="continue the run in OUTPUT")
    earlier.add_argument("--overwrite", action="store_true", help="replace the run in OUTPUT")
    parser.add_argument("--version", action="version", version=f"amcnet {__version__}")
    return parser


def add_explanations(arguments: dict[str, Any]) -> None:
    """Add to `write` of parsed arguments what `--explain` asks for."""
    if arguments["explain"]:
        arguments["write"] += EXPLANATIONS


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add the options of a segmentation run, which `amc-infer` and `amc-batch` share."""
    parser.add_argument("--amcnet", type=Path, metavar="FILE", help="AMC-Net from export-onnx (default: --model)")
    parser.add_argument("--engine", type=Path, metavar="FILE", help="AMC-Net or pipeline from build-engine")
    parser.add_argument("--trust", action="store_true", help="run an engine whose SHA-256 differs from its card")
    parser.add_argument(
        "--flow", default="dis", metavar="dis|FILE|DIR", help="dis (default), file of PWC-Net or RAFT, or folder"
    )
    parser.add_argument(
        "--threshold", type=float, default=0.5, metavar="P", help="minimum probability in the mask (default: 0.5)"
    )
    parser.add_argument(
        "--temporal",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="average the probabilities of adjacent frames along the flow (default: on; off for pipelines)",
    )
    parser.add_argument("--crf", action="store_true", help="refine the masks with a dense CRF, 3 s per frame")
    parser.add_argument(
        "--device", choices=DEVICES, default="cpu", help="device of ONNX files (default: cpu); engines use the GPU"
    )
    parser.add_argument(
        "--model", choices=MODELS, default=MODELS[0], help="bundled network, 256x256 or 384x384 (default: light)"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="of the bundled network (default: auto, the fastest); bf16 for any FP32 file",
    )
    _add_output_options(parser)
    _add_source_options(parser)


def _add_output_options(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--write",
        type=lambda text: tuple(kind.strip() for kind in text.split(",")),
        default=("masks", "overlay"),
        metavar="LIST",
        help=f"outputs, separated by commas (default: masks,overlay): {', '.join(KINDS)}",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help=f"also write {', '.join(EXPLANATIONS)}: attention maps and co-attention scores of each frame",
    )
    parser.add_argument(
        "--soft-edges",
        type=_two_numbers,
        metavar="LOW,HIGH",
        help="probabilities at which the object of matte, alpha and background becomes opaque (default: 0.25,0.75)",
    )
    parser.add_argument(
        "--background",
        metavar="blur|COLOR|FILE",
        help="behind the object of background: blur (default), a color such as '#00ff00', an image or a video",
    )


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("got an empty string, expected a folder such as masks")
    return Path(text)


def _two_numbers(text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected LOW,HIGH such as 0.25,0.75") from error
    return low, high


def _add_source_options(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--start", type=int, default=0, metavar="N", help="first frame, counted from 0 (default: 0)")
    parser.add_argument("--frames", type=int, metavar="N", help="maximum number of frames (default: all)")
    parser.add_argument("--stride", type=int, default=1, metavar="N", help="take every N-th frame (default: 1)")
    parser.add_argument(
        "--duration", type=float, metavar="SECONDS", help="end so long after the first frame, in the source's time"
    )
    parser.add_argument(
        "--video-stream", type=int, metavar="N", help="video stream, counted from 0 (default: the main one)"
    )
    parser.add_argument(
        "--deinterlace",
        choices=DEINTERLACE,
        default="auto",
        help="deinterlace with bwdif (default: auto, frames marked as interlaced)",
    )
    parser.add_argument(
        "--names",
        choices=("index", "source"),
        default="index",
        help="name masks 00000.png, or as the source images (default: index)",
    )
