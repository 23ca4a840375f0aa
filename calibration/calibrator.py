"""FP32 ONNX and what it is fed with -> Q/DQ ONNX and the table of its ranges."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..runtime.errors import InputError
from ..runtime.files.onnx_file import OnnxFile
from .load_model import inline_functions, load_float
from .quantize import Quantized, Target, quantize
from .range_methods import METHODS, Method, saturated
from .statistics import collect_statistics
from .table import TABLE_VERSION, CalibrationTable, TensorRange, frames_sha256

InputBatches = Iterable[Mapping[str, NDArray[Any]]]
"""Inputs by name, one mapping a frame; can be iterated more than once."""


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What was written: the file and what is quantized in it, and the table beside it; `reused` if it was there."""

    quantized: Quantized
    table: CalibrationTable
    table_path: Path
    reused: bool


def calibrate_on_batches(
    source: Path,
    output: Path,
    input_batches: InputBatches,
    *,
    target: Target,
    method: Method = "minmax",
    keep: Collection[str] = (),
    table: Path | None = None,
) -> Calibrated:
    """Write `output`, `source` (FP32) in int8 for `target`, and its calibration table beside it.

    method: how the range of a tensor is chosen. keep: names of nodes that stay in float. table: one to use as it is,
    whatever frames it is of; `feeds` are not looked at then. Without, a table that lies beside `output` is reused if it
    is of the same file, frames and method. Raises ModelFileError, OutputError, InputError without feeds.
    """
    table_path = table_path_of(output)
    found = CalibrationTable.read(table) if table is not None else None
    if found is None:
        key = _key(source, input_batches, method)
        if table_path.is_file():
            beside = CalibrationTable.read(table_path)
            found = beside if replace(beside, tensors={}) == key else None
    reused = found is not None
    if found is None:
        found = replace(key, tensors=_ranges(source, input_batches, key))
    found.write(table_path)
    return Calibrated(
        quantized=quantize(source, output, found, target=target, keep=keep),
        table=found,
        table_path=table_path,
        reused=reused,
    )


def table_path_of(output: Path) -> Path:
    """The calibration table of an int8 file: X.int8.onnx -> X.int8.json."""
    return output.with_suffix(".json")


def _key(source: Path, input_batches: InputBatches, method: Method) -> CalibrationTable:
    """The table to be, without ranges: what it is of."""
    digest, frames = frames_sha256(input_batches)
    if frames == 0:
        raise InputError("there are no frames to calibrate with; expected some: give clips with --clips")
    return CalibrationTable(
        model_sha256=OnnxFile.read(source).sha256(),
        frames_sha256=digest,
        frames=frames,
        method=method,
        tensors={},
        version=TABLE_VERSION,
    )


def _ranges(source: Path, input_batches: InputBatches, key: CalibrationTable) -> dict[str, TensorRange]:
    """Of all tensors of `source`, those inside our functions too."""
    _, model = load_float(source)
    ranges = {}
    for name, statistics in collect_statistics(inline_functions(model), input_batches, key.frames).items():
        low, high = METHODS[key.method](statistics)
        beyond = saturated(statistics, (low, high))
        ranges[name] = TensorRange(
            low=low,
            high=high,
            saturated=beyond,
            least=statistics.low,
            greatest=statistics.high,
            means=tuple(float(f"{mean:.6g}") for mean in statistics.means),
        )
    return ranges
