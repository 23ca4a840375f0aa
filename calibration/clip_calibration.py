"""Calibrate an FP32 ONNX file with clips, and compare the INT8 file with it on held-out frames."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..export.compare.accuracy_gate import AccuracyGate, with_progress
from ..runtime.errors import InputError
from ..runtime.files.onnx_file import OnnxFile
from ..runtime.inputs.clip_inputs import ClipInputs
from ..runtime.inputs.frame_selection import choose_frames
from ..runtime.inputs.stored_inputs import store_inputs
from .calibrator import calibrate_on_batches, require_quantizable
from .held_out import split_held_out, with_held_out
from .quantizer import Quantized, Target, quantize
from .range_methods import Method
from .search import Search
from .search_measure import search_on_batches
from .table import CalibrationTable

InputBatches = Sequence[Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """An INT8 file, its calibration table and its accuracy.

    reused: the table existed, and no ranges were measured. accuracy: comparison with the FP32 file, see
    `AccuracyGate.file`. search: result of the search for FP32 layers; None without a search.
    """

    path: Path
    quantized: Quantized
    table: CalibrationTable
    table_path: Path
    reused: bool
    accuracy: dict[str, Any]
    search: Search | None


def calibrate(
    model: str | Path,
    output: str | Path,
    clips: Sequence[str | Path],
    *,
    target: Target = "tensorrt",
    method: Method = "minmax",
    frames: int = 100,
    flow: str | Path = "dis",
    table: Path | None = None,
    keep_float: Collection[str] = (),
    search: bool = False,
    min_iou: float | None = None,
    on_progress: Callable[[str], None] = lambda line: None,
) -> Calibration:
    """Quantize the FP32 file `model` with the ranges of its tensors on frames of `clips`, and write it to `output`.

        done = calibrate("amcnet.onnx", "amcnet.int8.onnx", ["a.mp4", "frames/"], target="cpu")
        done.accuracy["mask"]["mean_iou"]

    Args:
        model: FP32 file of export-onnx: an AMC-Net, a PWC-Net or a pipeline.
        output: INT8 file to write. Its calibration table is written beside it: X.int8.onnx, X.int8.json.
        clips: videos, folders of images, or other sources of `open_frames`.
        target: "tensorrt" (symmetric int8, Conv and MatMul) or "cpu" (uint8 activations, for ONNX Runtime on a CPU).
        method: range of a tensor: "minmax", "percentile" (99.99 %) or "entropy" (KL divergence).
        frames: number of calibration frames, 1 or more, selected evenly over object and camera motion. A quarter as
            many are held out for the comparison.
        flow: optical flow for an AMC-Net, "dis" or the ONNX file of a PWC-Net or RAFT.
        table: existing calibration table; no ranges are measured then. Without it, a table beside `output` is reused
            if it is of the same file, frames and method.
        keep_float: names of nodes that stay FP32.
        search: keep the fewest layers in FP32 for which the comparison passes. X.search.json beside `output` holds the
            measurements; an interrupted search continues with them.
        min_iou: minimum mean IoU with the masks of `model`, 0 to 1; None for 0.98. The median flow difference of a
            PWC-Net may be 0.5 px.
        on_progress: called with one line for each step.

    Each clip is decoded twice: for its motion, and for the selected frames, whose inputs are stored in a temporary
    folder (3.5 MB per frame for an AMC-Net at 384x384). Memory does not grow with the number of frames.

    Raises:
        InputError: a clip cannot be read or has one frame, `frames` is below 1, or `min_iou` is not between 0 and 1.
        ModelFileError: `model` is not FP32 or is a RAFT, `table` is of another file, or no search result reaches the
            minimum.
        EngineError: the INT8 file differs from `model` too much. It is deleted; its table stays.
        OutputError: a file cannot be written. BackendError: ONNX Runtime is missing.
    """
    if frames < 1:
        raise InputError(f"frames: got {frames}, expected 1 or more")
    if min_iou is not None and not 0 <= min_iou <= 1:
        raise InputError(f"min_iou: got {min_iou:g}, expected a number from 0 to 1, such as 0.98")
    source, output = OnnxFile.read(model), Path(output)
    require_quantizable(source)
    on_progress("selecting frames")
    chosen = choose_frames(clips, with_held_out(frames))
    with tempfile.TemporaryDirectory(prefix="amcnet-calibration-") as scratch:
        inputs = (item.inputs for item in ClipInputs(source, clips, flow=flow, chosen=chosen))
        batches = store_inputs(inputs, Path(scratch) / "inputs")
        for_ranges, held_out = split_held_out(batches)
        done = calibrate_on_batches(
            source.path,
            output,
            _WithProgress(for_ranges, "measuring ranges", on_progress),
            target=target,
            method=method,
            keep_float=keep_float,
            table=table,
        )
        quantized, found = done.quantized, None
        try:
            if search:
                found = search_on_batches(
                    source,
                    done.table,
                    output.with_suffix(".search.json"),
                    held_out,
                    target=target,
                    min_iou=min_iou,
                    on_progress=on_progress,
                )
                kept = {*found.float_nodes, *keep_float}
                quantized = quantize(source.path, output, done.table, target=target, keep_float=kept)
            gate = AccuracyGate(reference=source, input_batches=held_out, min_iou=min_iou, on_phase=on_progress)
            accuracy = gate.file(OnnxFile.read(output), Path(scratch))
        except BaseException:
            output.unlink(missing_ok=True)  # a file that was not verified is not left
            raise
    return Calibration(
        path=output,
        quantized=quantized,
        table=done.table,
        table_path=done.table_path,
        reused=done.reused,
        accuracy=accuracy,
        search=found,
    )


class _WithProgress:
    """`batches` that report their progress each time they are iterated."""

    def __init__(self, batches: InputBatches, what: str, on_progress: Callable[[str], None]) -> None:
        self._batches, self._what, self._on_progress = batches, what, on_progress

    def __iter__(self) -> Any:
        return with_progress(self._batches, self._what, self._on_progress)
