"""`build-engine`: an ONNX file to a TensorRT engine and its card."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..export.compare.accuracy_gate import InputBatches, OpenEngine
from ..runtime.argument_types import positive, share
from ..runtime.command import cli_entry_point
from ..runtime.trt.api import MODULES
from ..runtime.trt.card import EngineFile, card_path
from .build import build_engine
from .build_options import BuildOptions, ShapeRange

_FRAMES = 40  # of all clips: one of ResNet-101 takes 3 s to probe and to compare on two cores

_EXAMPLES = """examples:
  build-engine amcnet.onnx --fp16                           amcnet.engine and its card, amcnet.engine.json
  build-engine amcnet.onnx --fp16 --compute-capability 8.6 8.9      for these GPUs, on any machine
  build-engine amcnet.onnx --fp16 --clips a.mp4 frames/             keep in FP32 what these frames need; compare masks
  build-engine amcnet.onnx --int8 --clips a.mp4 frames/             calibrate first; or give a file from amc-calibrate
  build-engine pwcnet.onnx --flavor tensorrt -o pwc.engine         for the GPU of this machine, in FP32
  build-engine amcnet.onnx --shapes image:1x3x384x384/1x3x384x384/4x3x384x384 \\
      flow_image:1x3x384x384/1x3x384x384/4x3x384x384                a file with a free batch: smallest/usual/largest

Precision is defined by the ONNX file. --fp16 converts it and keeps sensitive operators in FP32; the command fails if
less than 90 % of the operations run in FP16 then. --int8 fails if less than 80 % run in INT8.
exit status: 0 done, 2 an error with a message that says what to do, 130 Ctrl-C
"""


@cli_entry_point
def main() -> int:
    arguments = vars(_parser().parse_args())
    arguments["compute_capability"] = tuple(arguments["compute_capability"])
    arguments["shapes"] = dict(arguments["shapes"])
    arguments["clips"] = tuple(arguments["clips"])
    options = BuildOptions(**{field.name: arguments[field.name] for field in fields(BuildOptions)})
    show = sys.stderr.isatty()
    try:
        engine = build_engine(
            options, _note, _phase if show else None, input_batches=_input_batches(options), open_engine=_open_engine
        )
    finally:
        if show:
            print("\r\x1b[K", end="", file=sys.stderr)
    card = engine.card
    print(card.precision_report)
    for measured in (card.accuracy or {}).values():
        print(_accuracy(measured))
    print(f"{engine.path}: {card.engine_bytes / 1e6:.0f} MB, {card.build_seconds:.0f} s; {card_path(engine.path).name}")
    return 0


def _input_batches(options: BuildOptions) -> InputBatches:
    """What the model gets for frames of the clips, slow ones and fast ones."""
    if not options.clips:
        return ()
    from ..runtime.files.onnx_file import OnnxFile
    from ..runtime.inputs.clip_inputs import ClipInputs
    from ..runtime.inputs.frame_selection import choose_frames

    chosen = choose_frames(options.clips, _FRAMES)
    clips = ClipInputs(OnnxFile.read(options.model), options.clips, flow=options.flow, chosen=chosen)
    return [item.inputs for item in clips]


@contextmanager
def _open_engine(engine: EngineFile) -> Iterator[OpenEngine]:
    from ..runtime.backends.tensorrt_backend import EngineBackend

    with EngineBackend(engine) as backend:
        yield OpenEngine(run=backend.run, layers=backend.engine.layers())


def _accuracy(measured: dict[str, Any]) -> str:
    if "mask" in measured:
        mask = measured["mask"]
        found = f"mask IoU {mask['mean_iou']:.4f}, first percentile {mask['iou_p1']:.4f}, {mask['frames']} frames"
    else:
        flow = measured["flow"]
        found = f"flow difference {flow['median_px']:.3g} px (median), {flow['frames']} frames"
    return f"{found}: {measured['of']}, against {measured['against']}"


def _note(note: str) -> None:
    print(f"note: {note}", file=sys.stderr)


def _phase(phase: str) -> None:
    width = shutil.get_terminal_size().columns - 1
    print(f"\r\x1b[K{phase[:width]}", end="", file=sys.stderr, flush=True)


def _shapes(text: str) -> tuple[str, ShapeRange]:
    name, _, ranges = text.rpartition(":")
    try:
        least, usual, greatest = (tuple(int(size) for size in shape.split("x")) for shape in ranges.split("/"))
        if not name or not all(0 < a <= b <= c for a, b, c in zip(least, usual, greatest, strict=True)):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no range of shapes; expected NAME:least/usual/greatest, "
            "such as image:1x3x384x384/1x3x384x384/4x3x384x384"
        ) from None
    return name, (least, usual, greatest)


def _compute_capability(text: str) -> str:
    major, _, minor = text.lower().removeprefix("sm").partition(".")
    if not minor and len(major) > 1:
        major, minor = major[:-1], major[-1]
    if not (major.isdigit() and minor.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no compute capability; expected such as 8.6")
    return f"{major}.{minor}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="build-engine",
        description="Build a TensorRT engine from an ONNX file of this package.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL.onnx", help="file from export-onnx or amc-calibrate")
    add(
        "-o",
        "--output",
        type=Path,
        metavar="X.engine",
        help="engine to write (default: MODEL.engine beside MODEL.onnx)",
    )
    add("--fp16", action="store_true", help="convert MODEL to FP16 first")
    add("--allow-clipping", action="store_true", help="with --fp16: clip weights beyond ±65504, else they are an error")
    add("--int8", action="store_true", help="MODEL is made by amc-calibrate, or is calibrated first, with --clips")
    add(
        "--clips",
        "--probe-clip",
        nargs="+",
        default=[],
        metavar="CLIP",
        help="videos or folders of images: frames to find tensors beyond the range of FP16 (without: by rules alone), "
        "to calibrate INT8, and to compare the result with FP32",
    )
    add(
        "--flow",
        default="dis",
        metavar="dis|PWC.onnx",
        help="with --clips: optical flow that AMC-Net gets (default: dis)",
    )
    add(
        "--min-iou",
        type=share,
        metavar="IOU",
        help="with --clips: minimum mean IoU with the FP32 masks, 0 to 1 (default: 0.995; int8: 0.98)",
    )
    add(
        "--reference",
        type=Path,
        metavar="FP32.onnx",
        help="with --clips: FP32 file to compare with, if MODEL is converted already",
    )
    add("--keep-onnx", action="store_true", help="keep the converted file beside the engine, such as MODEL.fp16.onnx")
    add(
        "--flavor",
        choices=tuple(MODULES),
        help="library to build with (default: tensorrt if it is installed and there is a GPU, else tensorrt-rtx)",
    )
    add(
        "--shapes",
        type=_shapes,
        nargs="+",
        default=[],
        metavar="NAME:MIN/OPT/MAX",
        help="sizes of each input, for files with free sizes",
    )
    add(
        "--compute-capability",
        type=_compute_capability,
        nargs="+",
        default=[],
        metavar="SM",
        help="TensorRT-RTX only: compute capabilities of the GPUs to build for (default: 8.0 8.6 8.9 12.0)",
    )
    add(
        "--timing-cache",
        type=Path,
        metavar="FILE",
        help="kernel timings to reuse and extend (default: a file in the cache folder)",
    )
    add("--version-compatible", action="store_true", help="TensorRT only: the engine runs with later versions, too")
    add("--hardware-compatible", action="store_true", help="TensorRT only: the engine runs on all GPUs from SM 8.0 on")
    add(
        "--workspace-mib",
        type=positive,
        metavar="N",
        help="GPU memory that kernels may use while they run, in MiB (default: all)",
    )
    add(
        "--optimization-level",
        type=int,
        choices=range(6),
        metavar="0-5",
        help="effort of the build; a higher level takes longer (default: 3)",
    )
    return parser
