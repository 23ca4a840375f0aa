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

from .. import command
from .build import BuildOptions, ShapeRange, build_engine
from .card import EngineFile, card_path
from .gate import Feeds, OpenEngine
from .tensorrt_api import MODULES

_FRAMES = 40  # of all clips: one of ResNet-101 takes 3 s to probe and to compare on two cores

_EXAMPLES = """examples:
  build-engine amcnet.onnx --fp16                           amcnet.engine and its card, amcnet.engine.json
  build-engine amcnet.onnx --fp16 --compute-capability 8.6 8.9      for these GPUs; none needs to be here
  build-engine amcnet.onnx --fp16 --clips a.mp4 frames/             what these need in float; masks held against FP32
  build-engine amcnet.onnx --int8 --clips a.mp4 frames/             calibrated with them; or give a file of calibrate
  build-engine pwcnet.onnx --flavour tensorrt -o pwc.engine         for the GPU of this machine, in float
  build-engine amcnet.onnx --shapes image:1x3x384x384/1x3x384x384/4x3x384x384 \\
      flow_image:1x3x384x384/1x3x384x384/4x3x384x384                a file with a free batch: least/usual/greatest

Precision is what the ONNX file says. --fp16 converts it, with what must stay float in float, and is an error if less
than 90 % of the operations run in half then; --int8 if less than 80 % run in int8.
exit status: 0 done, 2 an error whose message says how to mend it, 130 Ctrl-C
"""


@command
def main() -> int:
    arguments = vars(_parser().parse_args())
    arguments["compute_capability"] = tuple(arguments["compute_capability"])
    arguments["shapes"] = dict(arguments["shapes"])
    arguments["clips"] = tuple(arguments["clips"])
    options = BuildOptions(**{field.name: arguments[field.name] for field in fields(BuildOptions)})
    show = sys.stderr.isatty()
    try:
        engine = build_engine(options, _note, _phase if show else None, feeds=_feeds(options), open_engine=_open_engine)
    finally:
        if show:
            print("\r\x1b[K", end="", file=sys.stderr)
    card = engine.card
    print(card.receipt)
    for measured in (card.accuracy or {}).values():
        print(_accuracy(measured))
    print(f"{engine.path}: {card.engine_bytes / 1e6:.0f} MB, {card.build_seconds:.0f} s; {card_path(engine.path).name}")
    return 0


def _feeds(options: BuildOptions) -> Feeds:
    """What the model gets for frames of the clips, slow ones and fast ones."""
    if not options.clips:
        return ()
    from ..export.onnx_file import OnnxFile
    from ..runtime.clip_inputs import ClipInputs
    from ..runtime.telling_frames import choose_frames

    chosen = choose_frames(options.clips, _FRAMES)
    clips = ClipInputs(OnnxFile.read(options.model), options.clips, flow=options.flow, chosen=chosen)
    return [item.inputs for item in clips]


@contextmanager
def _open_engine(engine: EngineFile) -> Iterator[OpenEngine]:
    from ..runtime.engine_backend import EngineBackend

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


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; expected a number from 0 to 1, such as 0.98")
    return share


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


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="build-engine",
        description="Build a TensorRT engine from an ONNX file of this package.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL.onnx", help="made by export-onnx")
    add("-o", "--output", type=Path, metavar="X.engine", help="the engine (MODEL.engine beside MODEL.onnx)")
    add("--fp16", action="store_true", help="convert to half precision first")
    add("--allow-clipping", action="store_true", help="with --fp16: clip weights beyond ±65504, else they are an error")
    add("--int8", action="store_true", help="MODEL is one of calibrate's, or is calibrated first, with --clips")
    add(
        "--clips",
        "--probe-clip",
        nargs="+",
        default=[],
        metavar="CLIP",
        help="videos or folders of pictures: probe ranges on them (without: rules alone say what stays in float), "
        "calibrate with them, hold the result against FP32",
    )
    add("--flow", default="dis", metavar="FLOW", help="by which AMC-Net sees the clips' motion: dis or PWC.onnx (dis)")
    add("--min-iou", type=_share, metavar="SHARE", help="with --clips: of the FP32 masks (0.995; 0.98 for int8)")
    add("--reference", type=Path, metavar="FP32.onnx", help="with --clips, where MODEL is converted already")
    add("--keep-onnx", action="store_true", help="leave the converted file beside the engine, such as MODEL.fp16.onnx")
    add("--flavour", choices=tuple(MODULES), help="(tensorrt if it is installed and a GPU is there, else tensorrt-rtx)")
    add("--shapes", type=_shapes, nargs="+", default=[], metavar="NAME:MIN/OPT/MAX", help="for files with free sizes")
    add(
        "--compute-capability",
        type=_compute_capability,
        nargs="+",
        default=[],
        metavar="SM",
        help="GPUs to build for, TensorRT-RTX only (8.0 8.6 8.9 12.0)",
    )
    add("--timing-cache", type=Path, metavar="FILE", help="measured times to begin with (one in the cache folder)")
    add("--version-compatible", action="store_true", help="TensorRT only: run with later versions as well")
    add("--hardware-compatible", action="store_true", help="TensorRT only: run on all GPUs from SM 8.0 on")
    add("--workspace-mib", type=_positive, metavar="N", help="memory for the fastest kernels (all there is)")
    add("--optimization-level", type=int, choices=range(6), metavar="0-5", help="more tries longer (3)")
    return parser
