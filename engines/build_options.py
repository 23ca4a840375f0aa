"""Options of an engine build."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

ShapeRange = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # least, usual, greatest


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """`model` is an ONNX file of this package; `output` the engine, by default beside it under its name.

    fp16: convert to half on the way; allow_clipping: clip weights beyond ±65504, which are an error otherwise. int8:
    `model` is in int8 (amc-calibrate), or is calibrated on the way; keep_onnx leaves the converted file beside the
    engine. clips and flow: what the feeds of the build are made of, for the card. min_iou: the least mean IoU with the
    FP32 masks, None for 0.995 (fp16) or 0.98 (int8). reference: the FP32 file of a `model` that is converted already.
    flavor: "tensorrt" or "tensorrt-rtx"; None takes TensorRT where it is installed and a GPU is there. shapes: input
    -> range, for files with free sizes. compute_capability: the GPUs to build for, such as ("8.6", "8.9"), TensorRT-RTX
    only. timing_cache: None takes one in the user's cache folder. workspace_mib and optimization_level (0 to 5): None
    leaves the library's.
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
