"""Options of an engine build."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..runtime.errors import EngineError

ShapeRange = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Minimum, optimum and maximum shape of an input with free sizes."""


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Options of `build_engine`; each is a flag of build-engine with the same name.

        BuildOptions(model=Path("amcnet.onnx"), fp16=True, compute_capability=("8.6", "8.9"))

    Args:
        model: ONNX file of export-onnx or amc-calibrate.
        output: engine to write; None for X.engine beside `model` X.onnx.
        fp16: convert `model` to FP16 first.
        allow_clipping: clip weights beyond ±65504 in that conversion; they are an error otherwise.
        int8: `model` is INT8 (amc-calibrate), or is calibrated first with `clips`.
        keep_onnx: keep the converted file beside the engine.
        clips: videos or folders of images, for range probe (FP16), calibration (INT8) and comparison with FP32.
        flow: optical flow for the clips, "dis" or the ONNX file of a PWC-Net or RAFT.
        min_iou: minimum mean IoU with the FP32 masks, 0 to 1; None for 0.995 (INT8: 0.98).
        reference: FP32 file to compare with, if `model` is converted already.
        flavor: "tensorrt" (10 or later), "tensorrt-rtx" or "tensorrt-8" (8.6, for GPUs since SM 5.0); None for the
            TensorRT that is installed if there is a GPU, else TensorRT-RTX.
        shapes: input name -> (minimum, optimum, maximum shape), for inputs with free sizes.
        compute_capability: GPUs to build for, such as ("8.6", "8.9"); TensorRT-RTX only.
        timing_cache: kernel timings to reuse and extend; None for a file in the user's cache folder.
        version_compatible: the engine runs with later TensorRT versions, too; TensorRT only.
        hardware_compatible: the engine runs on all GPUs from SM 8.0 on; TensorRT only.
        workspace_mib: limit of temporary GPU memory in MiB; None for all.
        optimization_level: effort of the build, 0 to 5; None for the default of the library, 3.
    """

    model: Path
    output: Path | None = None
    fp16: bool = False
    allow_clipping: bool = False
    int8: bool = False
    keep_onnx: bool = False
    clips: tuple[str | Path, ...] = ()
    flow: str | Path = "dis"
    min_iou: float | None = None
    reference: Path | None = None
    flavor: str | None = None
    shapes: dict[str, ShapeRange] = field(default_factory=dict)
    compute_capability: tuple[str, ...] = ()
    timing_cache: Path | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    workspace_mib: int | None = None
    optimization_level: int | None = None


def parse_shape_range(text: str) -> tuple[str, ShapeRange]:
    """`image:1x3x384x384/1x3x384x384/4x3x384x384` -> (input name, its range). Raises EngineError."""
    name, _, ranges = text.rpartition(":")
    try:
        minimum, optimum, maximum = (tuple(int(size) for size in shape.split("x")) for shape in ranges.split("/"))
        if not name or not all(0 < a <= b <= c for a, b, c in zip(minimum, optimum, maximum, strict=True)):
            raise ValueError
    except ValueError:
        raise EngineError(
            f"--shapes: got {text!r}, expected NAME:MIN/OPT/MAX in ascending order, such as "
            "image:1x3x384x384/1x3x384x384/4x3x384x384"
        ) from None
    return name, (minimum, optimum, maximum)


def parse_compute_capability(text: str) -> str:
    """`8.6`, `86` or `sm86` -> "8.6". Raises EngineError."""
    major, _, minor = text.lower().removeprefix("sm").partition(".")
    if not minor and len(major) > 1:
        major, minor = major[:-1], major[-1]
    if not (major.isdigit() and minor.isdigit()):
        raise EngineError(f"--compute-capability: got {text!r}, expected a number such as 8.6")
    return f"{major}.{minor}"
