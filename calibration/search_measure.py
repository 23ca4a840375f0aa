"""Search for the layers to keep in FP32, with fidelity to the FP32 file measured on input batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..export.compare.accuracy_gate import MAX_FLOW_PX, min_iou_for
from ..export.compare.fidelity import Run, flow_fidelity, mask_fidelity
from ..export.compare.onnx_run import onnx_run
from ..runtime.files.onnx_file import OnnxFile
from .quantizer import Target
from .search import Search, search
from .table import CalibrationTable

_SENSITIVITY_FRAMES = 8  # frames to measure the sensitivity of each layer on


def search_on_batches(
    source: OnnxFile,
    table: CalibrationTable,
    state: Path,
    batches: Sequence[Mapping[str, NDArray[Any]]],
    *,
    target: Target,
    min_iou: float | None,
    on_progress: Callable[[str], None] = lambda line: None,
) -> Search:
    """Run `search` with the measure and bound of the accuracy gate: mean mask IoU, or negative median flow difference.

    Raises as `search`.
    """
    reference = onnx_run(source.path)
    fidelity = _flow_fidelity if source.computes_flow else _mask_fidelity
    few = batches[:_SENSITIVITY_FRAMES]
    expected = cycle([reference(batch) for batch in few])
    return search(
        source.path,
        table,
        state,
        lambda path: fidelity(reference, path, batches),
        measure_sensitivity=lambda path: fidelity(lambda batch: next(expected), path, few),
        target=target,
        bound=search_bound(source, min_iou),
        on_progress=on_progress,
    )


def search_bound(source: OnnxFile, min_iou: float | None) -> float:
    """Return the minimum fidelity for `search_on_batches`."""
    return -MAX_FLOW_PX["int8"] if source.computes_flow else min_iou_for("int8", min_iou)


def _mask_fidelity(reference: Run, path: Path, batches: Iterable[Mapping[str, NDArray[Any]]]) -> float:
    return mask_fidelity(reference, onnx_run(path), batches).mean_iou


def _flow_fidelity(reference: Run, path: Path, batches: Iterable[Mapping[str, NDArray[Any]]]) -> float:
    return -flow_fidelity(reference, onnx_run(path), batches).median_px
