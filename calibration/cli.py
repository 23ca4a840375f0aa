"""`calibrate`: an FP32 ONNX file to INT8, by the frames of clips."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .. import AmcNetError, command

if TYPE_CHECKING:
    from ..export.fidelity import Run
    from ..export.onnx_file import OnnxFile
    from ..runtime.clip_inputs import ClipInputs
    from .qdq import Quantised
    from .table import CalibrationTable

_SEARCH_FRAMES = 8  # each layer alone is judged by
_HELD_OUT = 4  # one frame for the comparison to so many for the ranges
_EXAMPLES = """examples:
  calibrate amcnet.onnx --clips a.mp4 frames/ -o amcnet.int8.onnx                 for build-engine
  calibrate amcnet.onnx --clips clips/* --target cpu -o amcnet.cpu.onnx           for amc-infer on a CPU
  calibrate amcnet.onnx --clips clips/* --flow pwcnet.onnx -o amcnet.int8.onnx    motion as PWC-Net will see it
  calibrate amcnet.onnx --clips clips/* --search -o amcnet.int8.onnx              some layers in float, the fewest

Frames are chosen by motion: slow and fast, moving cameras, cuts. The table of ranges lies beside the result, as .json.
The result is held against the FP32 file on other frames of the clips, and an error if it misses --min-iou.
exit status: 0 done, 2 an error whose message says how to mend it, 130 Ctrl-C
"""


@command
def main() -> int:
    arguments = _parser().parse_args()
    from ..engines.gate import Gate
    from ..export.onnx_file import OnnxFile
    from .calibrator import calibrate

    source, output = OnnxFile.read(arguments.model), arguments.output
    feeds, others = _feeds(source, arguments)
    done = calibrate(
        source.path,
        output,
        feeds,
        target=arguments.target,
        method=arguments.method,
        keep=arguments.keep,
        table=arguments.table,
    )
    quantised = _searched(source, output, done.table, others, arguments) if arguments.search else done.quantised
    gate = Gate(reference=source, feeds=others, min_iou=arguments.min_iou, on_phase=_phase)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            measured = gate.file(OnnxFile.read(output), Path(scratch))
    except AmcNetError:
        output.unlink()
        raise
    _phase("")
    left = ", ".join(f"{len(nodes)} ({reason})" for reason, nodes in quantised.left.items())
    print(f"{len(quantised.int8)} operators in int8; in float {left or 'none'}")
    print(f"ranges of {len(done.table.tensors)} tensors{' (there already)' if done.reused else ''}: {done.table_path}")
    print(f"against {measured['against']}: {measured.get('mask') or measured.get('flow')}\n{output}")
    return 0


def _searched(
    source: OnnxFile, output: Path, table: CalibrationTable, feeds: _Feeds, arguments: argparse.Namespace
) -> Quantised:
    """`output` anew with the worst layers in float; X.search.json and X.search.png say which, and how it went."""
    from ..engines.gate import MAX_FLOW_PX, MIN_IOU
    from ..export.fidelity import flow_fidelity, mask_fidelity
    from ..export.onnx_run import onnx_run
    from .qdq import quantise
    from .search import search

    seen = list(islice(feeds, _SEARCH_FRAMES))
    reference = onnx_run(source.path)
    masks = source.network != "pwcnet"

    def fidelity(reference: Run, path: Path, feeds: Iterable[Mapping[str, NDArray[Any]]]) -> float:
        if masks:
            return mask_fidelity(reference, onnx_run(path), feeds).mean_iou
        return -flow_fidelity(reference, onnx_run(path), feeds).median_px

    expected = cycle([reference(feed) for feed in seen])

    bound = arguments.min_iou or MIN_IOU["int8"] if masks else -MAX_FLOW_PX["int8"]
    state = output.with_suffix(".search.json")
    found = search(
        source.path,
        table,
        state,
        lambda path: fidelity(reference, path, feeds),  # as the gate will
        alone=lambda path: fidelity(lambda feed: next(expected), path, seen),
        target=arguments.target,
        bound=bound,
        on_progress=_phase,
    )
    _plot(output.with_suffix(".search.png"), found.trials, bound, "mean mask IoU" if masks else "flow difference, -px")
    print(f"in float for a fidelity of {found.fidelity:.4f}: {', '.join(found.kept) or 'none'}")
    return quantise(source.path, output, table, target=arguments.target, keep={*found.kept, *arguments.keep})


def _plot(path: Path, trials: Sequence[tuple[float, float]], bound: float, unit: str) -> None:
    """How alike the files tried are, by how much of them is in int8."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("note: no plot without matplotlib: pip install matplotlib", file=sys.stderr)
        return
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*trials, strict=True), "o-")
    axes.axhline(bound, color="grey", linestyle=":")
    axes.set(xlabel="share of multiplications in int8", ylabel=unit)
    figure.savefig(path)


class _Feeds(Sequence[Mapping[str, "NDArray[Any]"]]):
    """What the network gets for frames of clips, made one at a time, as often as is asked."""

    def __init__(self, inputs: ClipInputs, count: int) -> None:
        self._inputs, self._count = inputs, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        for index, item in enumerate(self._inputs, 1):
            _phase(f"frame {index}/{self._count}")
            yield item.inputs

    def __getitem__(self, index: Any) -> Any:
        raise TypeError("frames come in order")


def _feeds(source: OnnxFile, arguments: argparse.Namespace) -> tuple[_Feeds, _Feeds]:
    """For the ranges, and for the comparison."""
    from ..runtime.clip_inputs import ClipInputs
    from ..runtime.telling_frames import choose_frames

    _phase("choosing frames")
    chosen = choose_frames(arguments.clips, arguments.frames + -(-arguments.frames // _HELD_OUT))
    held_out = chosen[:: _HELD_OUT + 1]
    ranges = sorted(set(chosen) - set(held_out)) or held_out
    return tuple(  # type: ignore[return-value]
        _Feeds(ClipInputs(source, arguments.clips, flow=arguments.flow, chosen=frames), len(frames))
        for frames in (ranges, held_out)
    )


def _phase(phase: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{phase}", end="", file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="calibrate",
        description="Quantise an ONNX file of this package to 8 bits, by the frames of clips.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL.onnx", help="in FP32, made by export-onnx")
    add("--clips", nargs="+", required=True, metavar="CLIP", help="videos, or folders of pictures")
    add("-o", "--output", type=Path, required=True, metavar="X.onnx", help="the file to write; X.json is its table")
    add("--target", choices=("tensorrt", "cpu"), default="tensorrt", help="who will run it (tensorrt)")
    add(
        "--method", choices=("minmax", "percentile", "entropy"), default="minmax", help="how ranges are chosen (minmax)"
    )
    add("--frames", type=_positive, default=100, metavar="N", help="for the ranges; a quarter more to compare (100)")
    add("--flow", default="dis", metavar="dis|FILE", help="what an AMC-Net will see the motion by: dis or a PWC-Net")
    add("--table", type=Path, metavar="X.json", help="use these ranges; none are measured")
    add("--keep", nargs="+", default=(), metavar="NODE", help="nodes to leave in float, by their names in the file")
    add("--search", action="store_true", help="leave the layers in float that cost most, until --min-iou holds")
    add("--min-iou", type=float, metavar="SHARE", help="least mean IoU with the FP32 masks (0.98)")
    return parser
