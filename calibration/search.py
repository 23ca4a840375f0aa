"""Search for the fewest layers to keep in FP32 so that masks or flow stay within a bound."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from ..export.compare.multiply_adds import multiply_adds
from ..runtime.errors import ModelFileError
from ..runtime.files.atomic import replacing
from .quantizer import PRODUCTS, Target, candidates, quantize
from .table import CalibrationTable

Measure = Callable[[Path], float]
"""INT8 file -> fidelity to the FP32 file, higher for better agreement."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """Result of a search.

    sensitivity: layer -> fidelity with only this layer in INT8, lowest first; empty if no layer has to stay FP32.
    float_nodes: the first of them, which stay FP32. trials: (fraction of the layers' multiply-adds in INT8, fidelity)
    of each file tried. fidelity: that of the selected file.
    """

    sensitivity: dict[str, float]
    float_nodes: tuple[str, ...]
    trials: tuple[tuple[float, float], ...]
    fidelity: float


def search(
    source: Path,
    table: CalibrationTable,
    state: Path,
    measure: Measure,
    *,
    measure_sensitivity: Measure | None = None,
    target: Target,
    bound: float,
    on_progress: Callable[[str], None] = lambda line: None,
) -> Search:
    """Return the fewest layers of `source` that have to stay FP32 for a `measure` of at least `bound`.

    First, each layer is quantized alone to measure its sensitivity, with `measure_sensitivity` (a faster measure) or
    `measure`. Then the most sensitive layers are kept in FP32; their number is found by doubling and bisection. `state`
    is a JSON file of the sensitivities, with which an interrupted search continues. Raises ModelFileError if the bound
    is missed with all layers in FP32, OutputError if `state` cannot be written.
    """
    everything = candidates(source, target)
    macs = {name: _macs(node) for name, node in everything.items() if node.op_type in PRODUCTS}
    with tempfile.TemporaryDirectory(prefix="amcnet-search-") as folder:
        trial = Path(folder) / "trial.onnx"

        def fidelity(keep_float: set[str], measure: Measure) -> float:
            quantize(source, trial, table, target=target, keep_float=keep_float)
            return measure(trial)

        on_progress("no layer in FP32")
        unchanged = fidelity(set(), measure)
        if unchanged >= bound:
            return Search(sensitivity={}, float_nodes=(), trials=((1.0, unchanged),), fidelity=unchanged)
        known = _read(state, table, target)
        for index, name in enumerate(macs, 1):
            on_progress(f"sensitivity of layer {index}/{len(macs)}")
            if name not in known:
                known[name] = fidelity(set(everything) - {name}, measure_sensitivity or measure)
                _write(state, table, target, known)
        ranked = dict(sorted(known.items(), key=lambda item: item[1]))
        order, total = list(ranked), sum(macs.values())
        tried = {0: unchanged}

        def try_count(count: int) -> float:
            if count not in tried:
                on_progress(f"{count} of {len(order)} layers in FP32")
                tried[count] = fidelity(set(order[:count]), measure)
            return tried[count]

        if try_count(len(order)) < bound:
            raise ModelFileError(
                f"{source} cannot be quantized within the bound: got {tried[len(order)]:.4f} with all {len(order)} "
                f"layers in FP32, expected at least {bound:g}. Fix: use --target tensorrt, which quantizes the layers "
                "only, or a lower --min-iou"
            )
        count = _fewest(len(order), lambda count: try_count(count) >= bound)
    fractions = {count: 1 - sum(macs[name] for name in order[:count]) / total for count in tried}
    return Search(
        sensitivity=ranked,
        float_nodes=tuple(order[:count]),
        trials=tuple(sorted((fractions[count], tried[count]) for count in tried)),
        fidelity=tried[count],
    )


def _fewest(most: int, enough: Callable[[int], bool]) -> int:
    """Return the least number from 1 to `most`, which is enough, by doubling and then bisection.

    Fidelity is not monotonic in the number of layers: bisection from the middle once returned 92 where few suffice.
    """
    least, step = 1, 1
    while step < most:
        if enough(step):
            most = step
            break
        least, step = step + 1, 2 * step
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if enough(middle) else (middle + 1, most)
    return most


def _macs(node: ir.Node) -> int:
    """Count the multiply-adds of a convolution or matrix product, with 1 for a free batch."""
    values = (*node.inputs[:2], node.outputs[0])
    shapes = [
        [dim if isinstance(dim, int) else 1 for dim in value.shape or ()] for value in values if value is not None
    ]
    return multiply_adds(node.op_type, *shapes)


def _read(state: Path, table: CalibrationTable, target: Target) -> dict[str, float]:
    """Return the sensitivities measured by an earlier search with the same table."""
    if not state.is_file():
        return {}
    found = json.loads(state.read_text())
    sensitivity: dict[str, float] = found.get("sensitivity", {}) if found.get("of") == _of(table, target) else {}
    return sensitivity


def _write(state: Path, table: CalibrationTable, target: Target, sensitivity: dict[str, float]) -> None:
    with replacing(state) as temporary:
        temporary.write_text(json.dumps({"of": _of(table, target), "sensitivity": sensitivity}, indent=2) + "\n")


def _of(table: CalibrationTable, target: Target) -> list[str]:
    return [table.model_sha256, table.frames_sha256, table.method, target, str(table.version)]
