"""`amc-calibrate`: quantize an FP32 ONNX file to INT8 with the frames of clips."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.argument_types import positive, share
from ..runtime.command import cli_entry_point

if TYPE_CHECKING:
    from .clip_calibration import Calibration

_EXAMPLES = """examples:
  amc-calibrate amcnet.onnx --clips a.mp4 frames/ -o amcnet.int8.onnx             for build-engine (TensorRT)
  amc-calibrate amcnet.onnx --clips *.mp4 --target cpu -o amcnet.cpu.onnx         for amc-infer on a CPU
  amc-calibrate amcnet.onnx --clips *.mp4 --flow pwcnet.onnx -o amcnet.int8.onnx  optical flow by PWC-Net
  amc-calibrate amcnet.onnx --clips *.mp4 --search -o amcnet.int8.onnx            keep layers in FP32 where needed
  amc-calibrate pwcnet.onnx --clips *.mp4 -o pwcnet.int8.onnx

Frames are selected from the clips, evenly over object and camera motion. The value ranges of all tensors on these
frames are written to a JSON file beside the result (X.int8.onnx, X.int8.json). The result is compared with MODEL.onnx
on held-out frames; if it differs too much, it is deleted and the command fails.
exit status: 0 success, 2 error, 130 interrupted by Ctrl-C
"""


@cli_entry_point
def main() -> int:
    arguments = vars(_parser().parse_args())
    from .clip_calibration import calibrate  # imported after --help is handled: onnx takes 1 s

    try:
        done = calibrate(**arguments, on_progress=_progress)
    finally:
        _progress("")
    _print_summary(done)
    if done.search is not None:
        _plot(done, arguments["min_iou"])
    return 0


def _print_summary(done: Calibration) -> None:
    from ..export.compare.accuracy_gate import accuracy_sentence

    kept = ", ".join(f"{len(nodes)} ({reason})" for reason, nodes in done.quantized.float_nodes.items())
    print(f"{len(done.quantized.int8_nodes)} operators in INT8; in FP32: {kept or 'none'}")
    if done.search is not None:
        print(f"layers kept in FP32 by the search: {', '.join(done.search.float_nodes) or 'none'}")
    print(f"ranges of {len(done.table.tensors)} tensors{' (reused)' if done.reused else ''}: {done.table_path}")
    print(f"{accuracy_sentence(done.accuracy)}, compared with {done.accuracy['against']}")
    print(done.path)


def _plot(done: Calibration, min_iou: float | None) -> None:
    from ..runtime.files.onnx_file import OnnxFile
    from .search_measure import search_bound
    from .search_plot import write_search_plot

    assert done.search is not None
    file = OnnxFile.read(done.path)
    unit = "flow difference, -px" if file.computes_flow else "mean mask IoU"
    path = done.path.with_suffix(".search.png")
    try:
        write_search_plot(path, done.search.trials, search_bound(file, min_iou), unit)
    except ImportError:
        print("note: the search is not plotted, for lack of matplotlib: pip install matplotlib", file=sys.stderr)


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="amc-calibrate",
        description="Quantize an FP32 ONNX file of AMC-Net or PWC-Net to INT8, calibrated with frames of your clips.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL.onnx", help="FP32 file from export-onnx")
    add("--clips", nargs="+", required=True, metavar="CLIP", help="videos or folders of images, typical of the use")
    add("-o", "--output", type=Path, required=True, metavar="X.onnx", help="INT8 file to write; X.json is its table")
    _add_ranges(parser.add_argument_group("quantization"))
    _add_accuracy(parser.add_argument_group("accuracy"))
    return parser


def _add_ranges(group: argparse._ArgumentGroup) -> None:
    target_help = "runtime of the result: TensorRT, or ONNX Runtime and OpenVINO on a CPU (default: tensorrt)"
    method_help = "range of a tensor: all values, 99.99 %% of them, or by KL divergence (default: minmax)"
    frames_help = "calibration frames; N/4 more are held out for the comparison (default: 100)"
    flow_help = "optical flow for AMC-Net, dis (OpenCV) or a file of PWC-Net or RAFT (default: dis)"
    add = group.add_argument
    add("--target", choices=("tensorrt", "cpu"), default="tensorrt", help=target_help)
    add("--method", choices=("minmax", "percentile", "entropy"), default="minmax", help=method_help)
    add("--frames", type=positive, default=100, metavar="N", help=frames_help)
    add("--flow", default="dis", metavar="dis|FLOW.onnx", help=flow_help)
    add("--table", type=Path, metavar="X.json", help="use the ranges of this calibration table; measure none")


def _add_accuracy(group: argparse._ArgumentGroup) -> None:
    search_help = "keep the fewest layers in FP32 for which --min-iou holds; may take hours for ResNet-101"
    iou_help = (
        "minimum mean IoU with the masks of MODEL.onnx, 0 to 1; 0 accepts any (default: 0.98). For PWC-Net, the median "
        "flow difference may be 0.5 px instead"
    )
    add = group.add_argument
    add("--keep-float", nargs="+", default=(), metavar="NODE", help="names of nodes of MODEL.onnx to keep in FP32")
    add("--search", action="store_true", help=search_help)
    add("--min-iou", type=share, metavar="IOU", help=iou_help)
