"""Convert the file of an engine build to FP16 or INT8, by rules and by the tensor ranges of real frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...calibration.held_out import split_held_out
from ...export.compare.accuracy_gate import InputBatches, with_progress
from ...runtime.errors import EngineError
from ...runtime.extras import require
from ...runtime.files.onnx_file import INT8_TARGET, OnnxFile

_SM75 = "TensorRT-RTX has no FP32 matrix products for SM 7.5: attention and correlation are converted to FP16"


@dataclass(frozen=True, kw_only=True)
class ConvertedFile:
    """The file to build from, and what the engine's card records of the conversion.

    ranges: tensor ranges (FP16) or calibration frames (INT8). clipped: initializer -> number of weights clipped to
    ±65504.
    """

    file: OnnxFile
    ranges: dict[str, Any] | None = None
    clipped: Mapping[str, int] = field(default_factory=dict)


def convert_fp16(
    source: OnnxFile,
    target: Path,
    input_batches: InputBatches,
    on_note: Callable[[str], None],
    on_phase: Callable[[str], None],
    *,
    for_sm75: bool,
    allow_clipping: bool,
) -> ConvertedFile:
    """Write `target`: `source` in FP16, without FP32 matrix products if `for_sm75`.

    Tensors that exceed the range of FP16 on `input_batches` stay FP32 in addition to the rules. on_note: called with
    one line each about ranges, clipped weights and SM 7.5. Raises as `convert_to_fp16` and `probe_ranges`.
    """
    require("build-engine --fp16", "onnx", "onnx_ir")
    from . import sm75
    from .fp16 import convert_to_fp16, weights_by_tensor
    from .fp32_rules import DEFAULT
    from .range_probe import probe_ranges

    if for_sm75:
        on_note(_SM75)
    probe = (
        probe_ranges(source.path, with_progress(input_batches, "probing ranges", on_phase)) if input_batches else None
    )
    rules = sm75.RULES if for_sm75 else DEFAULT
    report = convert_to_fp16(source.path, target, rules=rules, probe=probe, allow_clipping=allow_clipping)
    if report.clipped:
        on_note(f"clipped to ±65504, the range of FP16: {weights_by_tensor(report.clipped)}")
    if for_sm75:
        sm75.replace_fp32_products(target, target)
    if probe is None:
        return ConvertedFile(file=OnnxFile.read(target), clipped=report.clipped)
    added = [region.reason for region in probe.fp32_regions if region.reason in report.fp32_nodes]
    on_note(
        f"ranges of {len(probe.max_abs)} tensors on {probe.frames} frames: "
        + (f"in FP32 besides the rules: {'; '.join(added)}" if added else "none needs FP32 besides the rules")
    )
    return ConvertedFile(file=OnnxFile.read(target), ranges=probe.to_json(), clipped=report.clipped)


def calibrate_int8(
    source: OnnxFile, target: Path, input_batches: InputBatches, on_phase: Callable[[str], None]
) -> ConvertedFile:
    """Write `target`: `source` in INT8 for TensorRT, with ranges of `input_batches` except those held out.

    Raises EngineError if there are no input batches, ModelFileError for a RAFT, and as `calibrate_on_batches`.
    """
    require("build-engine --int8", "onnx", "onnx_ir", "onnxruntime")
    from ...calibration import calibrate_on_batches
    from ...calibration.calibrator import require_quantizable

    require_quantizable(source)
    if not input_batches:
        raise EngineError(
            f"--int8: got {source.path} in {source.precision}, expected an INT8 file. Fix: calibrate it first: "
            f"amc-calibrate --help, or give clips: build-engine {source.path.name} --int8 --clips DIR"
        )
    rest, _ = split_held_out(input_batches)
    on_phase(f"calibrating with {len(rest)} frames")
    table = calibrate_on_batches(source.path, target, rest, target="tensorrt").table
    calibrated = {"frames": table.frames, "frames_sha256": table.frames_sha256, "method": table.method}
    return ConvertedFile(file=OnnxFile.read(target), ranges=calibrated)


def convert_int8_for_sm75(file: OnnxFile, target: Path, on_note: Callable[[str], None]) -> OnnxFile:
    """Write `target`: the INT8 file without FP32 matrix products. Raises OutputError."""
    require("build-engine --int8 for SM 7.5", "onnx", "onnx_ir")
    from .sm75 import replace_fp32_products

    on_note(_SM75)
    replace_fp32_products(file.path, target)
    return OnnxFile.read(target)


def rewrite_for_tensorrt8(file: OnnxFile, target: Path) -> OnnxFile:
    """Write `target`: `file` in the form that the parser of TensorRT 8.6 reads. Raises OutputError."""
    require("build-engine --flavor tensorrt-8", "onnx", "onnx_ir")
    from .tensorrt8 import rewrite

    rewrite(file.path, target)
    return OnnxFile.read(target)


def require_tensorrt_target(file: OnnxFile) -> None:
    """Raise EngineError for an INT8 file calibrated for CPUs: TensorRT supports no zero points."""
    if file.metadata.get(INT8_TARGET) == "cpu":
        raise EngineError(
            f"{file.path} cannot be built: got an INT8 file for CPUs, expected one for TensorRT. Fix: amc-calibrate "
            "MODEL.onnx --target tensorrt"
        )
