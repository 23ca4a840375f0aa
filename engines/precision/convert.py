"""The file that an engine is built of, where it is not the one given: in half or int8, by rules and real frames."""

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

_SM75 = "TensorRT-RTX multiplies no matrices in float on SM 7.5: attention and correlation are in half too"


@dataclass(frozen=True, kw_only=True)
class Typed:
    """The file to build of, and for the card the ranges of real frames and how many weights of each initializer were
    clipped to ±65504.
    """

    file: OnnxFile
    ranges: dict[str, Any] | None = None
    clipped: Mapping[str, int] = field(default_factory=dict)


def in_fp16(
    source: OnnxFile,
    target: Path,
    input_batches: InputBatches,
    on_note: Callable[[str], None],
    on_phase: Callable[[str], None],
    *,
    for_sm75: bool,
    allow_clipping: bool,
) -> Typed:
    """Write `target`: `source` in half, `for_sm75` without float products. With `feeds`, what they make too large for
    half becomes an region too, and the ranges come back for the card; a note says which weights were clipped, if
    `allow_clipping`. Raises as `convert_to_fp16` and `probe_ranges`.
    """
    require("build-engine --fp16", "onnx", "onnx_ir")
    from . import sm75
    from .fp16 import convert_to_fp16, weights_by_tensor
    from .fp32_rules import DEFAULT
    from .range_probe import probe_ranges

    fp32_regions = sm75.FP32_RULES if for_sm75 else DEFAULT
    if for_sm75:
        on_note(_SM75)
    probe = (
        probe_ranges(source.path, with_progress(input_batches, "probing ranges", on_phase)) if input_batches else None
    )
    report = convert_to_fp16(source.path, target, fp32_regions=fp32_regions, probe=probe, allow_clipping=allow_clipping)
    if report.clipped:
        on_note(f"clipped to ±65504, the range of FP16: {weights_by_tensor(report.clipped)}")
    if for_sm75:
        sm75.without_float_products(target, target)
    if probe is None:
        return Typed(file=OnnxFile.read(target), clipped=report.clipped)
    added = [region.reason for region in probe.fp32_regions if region.reason in report.fp32_regions]
    on_note(
        f"ranges of {len(probe.max_abs)} tensors on {probe.frames} frames: "
        + (f"in FP32 besides the rules: {'; '.join(added)}" if added else "none needs FP32 besides the rules")
    )
    return Typed(file=OnnxFile.read(target), ranges=probe.to_json(), clipped=report.clipped)


def in_int8(source: OnnxFile, target: Path, input_batches: InputBatches, on_phase: Callable[[str], None]) -> Typed:
    """Write `target`: `source` in int8 in the form for TensorRT, by its ranges on `feeds` without those held out.

    For the card comes back by which frames. Raises EngineError without feeds, and as `calibrate_on_batches`.
    """
    require("build-engine --int8", "onnx", "onnx_ir", "onnxruntime")
    from ...calibration import calibrate_on_batches

    if not input_batches:
        raise EngineError(
            f"{source.path} is {source.precision}; --int8 expected a file made by amc-calibrate, or clips to calibrate "
            f"it with: build-engine {source.path.name} --int8 --clips DIR"
        )
    rest, _ = split_held_out(input_batches)
    on_phase(f"calibrating with {len(rest)} frames")
    table = calibrate_on_batches(source.path, target, rest, target="tensorrt").table
    calibrated = {"frames": table.frames, "frames_sha256": table.frames_sha256, "method": table.method}
    return Typed(file=OnnxFile.read(target), ranges=calibrated)


def in_int8_for_sm75(file: OnnxFile, target: Path, on_note: Callable[[str], None]) -> OnnxFile:
    """Write `target`: the int8 file without matrix products in float. Raises OutputError."""
    require("build-engine --int8 for SM 7.5", "onnx", "onnx_ir")
    from .sm75 import without_float_products

    on_note(_SM75)
    without_float_products(file.path, target)
    return OnnxFile.read(target)


def require_tensorrt(file: OnnxFile) -> None:
    """EngineError for an int8 file in the form that is fast on CPUs: TensorRT takes no zero points."""
    if file.metadata.get(INT8_TARGET) == "cpu":
        raise EngineError(
            f"{file.path} is calibrated for CPUs; expected the form that TensorRT takes: "
            "amc-calibrate MODEL.onnx --target tensorrt --help"
        )
