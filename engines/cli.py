"""`build-engine`: build a TensorRT engine and its card from an ONNX file."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import fields
from pathlib import Path

from ..export.compare.accuracy_gate import accuracy_sentence
from ..runtime.argument_types import positive, share
from ..runtime.command import cli_entry_point
from ..runtime.trt.api import MODULES
from ..runtime.trt.card import EngineFile, card_path
from .build import build_engine
from .build_options import BuildOptions, parse_compute_capability, parse_shape_range

_EXAMPLES = """examples:
  build-engine amcnet.onnx --fp16                           amcnet.engine and its card, amcnet.engine.json
  build-engine amcnet.onnx --fp16 --compute-capability 8.6 8.9      for these GPUs, on any machine
  build-engine amcnet.onnx --fp16 --clips a.mp4 frames/             keep in FP32 what these frames need; compare masks
  build-engine amcnet.onnx --int8 --clips a.mp4 frames/             calibrate first; or give a file from amc-calibrate
  build-engine pwcnet.onnx --flavor tensorrt -o pwc.engine         for the GPU of this machine, in FP32
  build-engine amcnet.onnx --flavor tensorrt-8 --int8 --clips a.mp4    for a GTX 1080 Ti (SM 6.1) in this machine
  build-engine amcnet.onnx --shapes image:1x3x384x384/1x3x384x384/4x3x384x384 \\
      flow_image:1x3x384x384/1x3x384x384/4x3x384x384                a file with a free batch: minimum/optimum/maximum

Precision is defined by the ONNX file. --fp16 converts it and keeps sensitive operators in FP32; the build fails if less
than 90 % of the operations run in FP16. --int8 fails if less than 80 % run in INT8. With --clips, the build fails if
the masks differ too much from those of the FP32 file.
exit status: 0 success, 2 error, 130 interrupted by Ctrl-C
"""


@cli_entry_point
def main() -> int:
    arguments = vars(_parser().parse_args())
    arguments["compute_capability"] = tuple(map(parse_compute_capability, arguments["compute_capability"]))
    arguments["shapes"] = dict(map(parse_shape_range, arguments["shapes"]))
    arguments["clips"] = tuple(arguments["clips"])
    options = BuildOptions(**{field.name: arguments[field.name] for field in fields(BuildOptions)})
    show = sys.stderr.isatty()
    try:
        engine = build_engine(options, _print_note, _print_phase if show else None)
    finally:
        if show:
            print("\r\x1b[K", end="", file=sys.stderr)
    _print_summary(engine)
    return 0


def _print_summary(engine: EngineFile) -> None:
    card = engine.card
    print(card.precision_report)
    for measured in (card.accuracy or {}).values():
        print(f"{accuracy_sentence(measured)}: {measured['of']}, compared with {measured['against']}")
    print(f"{engine.path}: {card.engine_bytes / 1e6:.0f} MB, {card.build_seconds:.0f} s; {card_path(engine.path).name}")


def _print_note(note: str) -> None:
    print(f"note: {note}", file=sys.stderr)


def _print_phase(phase: str) -> None:
    width = shutil.get_terminal_size().columns - 1
    print(f"\r\x1b[K{phase[:width]}", end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="build-engine",
        description="Build a TensorRT engine from an ONNX file of this package.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    output_help = "engine to write (default: MODEL.engine beside MODEL.onnx)"
    add("model", type=Path, metavar="MODEL.onnx", help="file from export-onnx or amc-calibrate")
    add("-o", "--output", type=Path, metavar="X.engine", help=output_help)
    _add_precision(parser.add_argument_group("precision"))
    _add_clips(parser.add_argument_group("measurement on clips"))
    _add_targets(parser.add_argument_group("targets"))
    _add_tuning(parser.add_argument_group("tuning"))
    return parser


def _add_precision(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--fp16", action="store_true", help="convert MODEL to FP16 first")
    add("--allow-clipping", action="store_true", help="with --fp16: clip weights beyond ±65504, else they are an error")
    add("--int8", action="store_true", help="MODEL is INT8 (amc-calibrate), or is calibrated first, with --clips")
    add("--keep-onnx", action="store_true", help="keep the converted file beside the engine, such as MODEL.fp16.onnx")


def _add_clips(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--clips",
        "--probe-clip",
        nargs="+",
        default=[],
        metavar="CLIP",
        help="videos or folders of images, to find tensors beyond the range of FP16 (without clips: by rules alone), "
        "to calibrate INT8, and to compare the result with FP32",
    )
    flow_help = "with --clips: optical flow for AMC-Net, dis (OpenCV) or a file of PWC-Net or RAFT (default: dis)"
    iou_help = "with --clips: minimum mean IoU with the FP32 masks, 0 to 1 (default: 0.995; INT8: 0.98)"
    reference_help = "with --clips: FP32 file to compare with, if MODEL is converted already"
    add("--flow", default="dis", metavar="dis|FLOW.onnx", help=flow_help)
    add("--min-iou", type=share, metavar="IOU", help=iou_help)
    add("--reference", type=Path, metavar="FP32.onnx", help=reference_help)


def _add_targets(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    flavor_help = (
        "library to build with; tensorrt-8 is TensorRT 8.6, for GPUs older than SM 7.5 (default: the TensorRT that is "
        "installed if there is a GPU, else tensorrt-rtx)"
    )
    gpus_help = "TensorRT-RTX only: compute capabilities of the GPUs to build for (default: 8.0 8.6 8.9 12.0)"
    shapes_help = "minimum, optimum and maximum shape of each input, for files with free sizes"
    add("--flavor", choices=tuple(MODULES), help=flavor_help)
    add("--compute-capability", nargs="+", default=[], metavar="SM", help=gpus_help)
    add("--version-compatible", action="store_true", help="TensorRT only: the engine runs with later versions")
    add("--hardware-compatible", action="store_true", help="TensorRT only: the engine runs on SM 8.0 and later")
    add("--shapes", nargs="+", default=[], metavar="NAME:MIN/OPT/MAX", help=shapes_help)


def _add_tuning(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    cache_help = "kernel timings to reuse and extend (default: a file in the cache folder)"
    workspace_help = "GPU memory that kernels may use while they run, in MiB (default: all)"
    level_help = "effort of the build; a higher level takes longer (default: 3)"
    add("--timing-cache", type=Path, metavar="FILE", help=cache_help)
    add("--workspace-mib", type=positive, metavar="N", help=workspace_help)
    add("--optimization-level", type=int, choices=range(6), metavar="0-5", help=level_help)
