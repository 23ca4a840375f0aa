"""Calibrate an FP32 ONNX file with input batches: measure ranges, write the INT8 file and its table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..runtime.errors import InputError, ModelFileError
from ..runtime.files.onnx_file import OnnxFile
from .load_model import inline_functions, load_fp32
from .quantizer import Quantized, Target, quantize
from .range_methods import METHODS, Method, saturated
from .statistics import collect_statistics
from .table import TABLE_VERSION, CalibrationTable, TensorRange, frames_sha256

InputBatches = Iterable[Mapping[str, NDArray[Any]]]
"""Inputs by name, one mapping for each frame; can be iterated more than once."""


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """An INT8 file and its calibration table. reused: the table existed, and no ranges were measured."""

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
    keep_float: Collection[str] = (),
    table: Path | None = None,
) -> Calibrated:
    """Quantize the FP32 file `source` with ranges measured on `input_batches`; write `output` and its table.

        batches = [item.inputs for item in ClipInputs(OnnxFile.read("amcnet.onnx"), ["a.mp4"], every=10)]
        calibrate_on_batches(Path("amcnet.onnx"), Path("amcnet.int8.onnx"), batches, target="cpu")

    `calibrate` does the same from clips and verifies the accuracy.

    Args:
        source: FP32 file of export-onnx.
        output: INT8 file to write; the calibration table X.int8.json is written beside X.int8.onnx.
        input_batches: input name -> array for each frame, as the network gets them at inference.
        target: "tensorrt" or "cpu", see `quantize`.
        method: "minmax", "percentile" or "entropy", see range_methods.py.
        keep_float: names of nodes that stay FP32.
        table: calibration table to use whatever its frames; `input_batches` are ignored then. Without it, a table
            beside `output` is reused if it is of the same file, frames and method.

    Raises:
        InputError: there are no input batches.
        ModelFileError: `source` is not FP32, a tensor is not finite, or the table is of another file.
        OutputError: a file cannot be written. BackendError: ONNX Runtime is missing.
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
        quantized=quantize(source, output, found, target=target, keep_float=keep_float),
        table=found,
        table_path=table_path,
        reused=reused,
    )


def require_quantizable(source: OnnxFile) -> None:
    """Raise ModelFileError for a RAFT: in INT8 its flow is less accurate and hardly faster (docs/quantization.md)."""
    if source.model == "raft":
        raise ModelFileError(
            f"{source.path} cannot be quantized: got a RAFT, expected an AMC-Net, PWC-Net or pipeline. In INT8 its "
            "flow is less accurate and hardly faster. Fix: use it in FP32, or in FP16: build-engine --fp16"
        )


def table_path_of(output: Path) -> Path:
    """Return the path of the calibration table of an INT8 file: X.int8.onnx -> X.int8.json."""
    return output.with_suffix(".json")


def _key(source: Path, input_batches: InputBatches, method: Method) -> CalibrationTable:
    """Return the table without its ranges: file, frames and method."""
    digest, frames = frames_sha256(input_batches)
    if frames == 0:
        raise InputError("got no frames to calibrate with, expected at least one. Fix: give clips with --clips")
    return CalibrationTable(
        model_sha256=OnnxFile.read(source).sha256(),
        frames_sha256=digest,
        frames=frames,
        method=method,
        tensors={},
        version=TABLE_VERSION,
    )


def _ranges(source: Path, input_batches: InputBatches, key: CalibrationTable) -> dict[str, TensorRange]:
    """Measure the ranges of all tensors of `source`, including those inside functions."""
    _, model = load_fp32(source)
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
