"""Which layers to leave in float so that masks stay as they are, the fewest: each is quantized alone and judged."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from ..export.multiply_adds import multiply_adds
from ..runtime.errors import ModelFileError
from ..runtime.files.atomic import replacing
from .quantize import PRODUCTS, Target, candidates, quantize
from .table import CalibrationTable

Measure = Callable[[Path], float]
"""An int8 file -> how alike its results are to the FP32 file's, 1 for the same."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """alone: layer -> fidelity with nothing but it in int8, worst first; empty if the bound holds with none in float.

    kept: the first of them, which stay in float.

    trials: (share of the layers' multiplications in int8, fidelity) of each file tried; fidelity: of the one chosen.
    """

    alone: dict[str, float]
    kept: tuple[str, ...]
    trials: tuple[tuple[float, float], ...]
    fidelity: float


def search(
    source: Path,
    table: CalibrationTable,
    state: Path,
    measure: Measure,
    *,
    alone: Measure | None = None,
    target: Target,
    bound: float,
    on_progress: Callable[[str], None] = lambda line: None,
) -> Search:
    """The fewest layers of `source` to leave in float for a `measure` of at least `bound`.

    `state` is a JSON file of what has been measured: a search that was interrupted goes on with it. Layers are taken in
    the order of the harm they do alone, by `alone` (a quicker measure, or `measure` itself); how many are needed is
    found by doubling and bisection. Nothing is measured alone if none are needed. Raises ModelFileError if the bound is
    missed with all of them in float, OutputError.
    """
    alone = alone or measure
    everything = candidates(source, target)
    macs = {name: _macs(node) for name, node in everything.items() if node.op_type in PRODUCTS}
    known = _read(state, table, target)
    with tempfile.TemporaryDirectory(prefix="amcnet-search-") as folder:
        trial = Path(folder) / "trial.onnx"

        def fidelity(kept: set[str], measure: Measure) -> float:
            quantize(source, trial, table, target=target, keep=kept)
            return measure(trial)

        on_progress("no layer in float")
        unchanged = fidelity(set(), measure)
        if unchanged >= bound:
            return Search(alone={}, kept=(), trials=((1.0, unchanged),), fidelity=unchanged)
        for index, name in enumerate(macs, 1):
            on_progress(f"layer {index}/{len(macs)} alone")
            if name not in known:
                known[name] = fidelity(set(everything) - {name}, alone)
                _write(state, table, target, known)
        ranked = dict(sorted(known.items(), key=lambda item: item[1]))
        order, total = list(ranked), sum(macs.values())
        tried = {0: unchanged}

        def enough(count: int) -> bool:
            if count not in tried:
                on_progress(f"{count} of {len(order)} layers in float")
                tried[count] = fidelity(set(order[:count]), measure)
            return tried[count] >= bound

        least, most = 1, len(order)
        if not enough(most):
            raise ModelFileError(
                f"{source} with all {most} layers in float is at {tried[most]:.4f}; expected at least {bound:g}: what "
                "lies between the layers costs too much; use --target tensorrt, or a lower --min-iou"
            )
        # Upwards: fidelity is uneven in the number of layers, and bisection from the middle once took 92 where few do.
        step = 1
        while step < most:
            if enough(step):
                most = step
                break
            least, step = step + 1, 2 * step
        while least < most:
            middle = (least + most) // 2
            least, most = (least, middle) if enough(middle) else (middle + 1, most)
    shares = {count: 1 - sum(macs[name] for name in order[:count]) / total for count in tried}
    return Search(
        alone=ranked,
        kept=tuple(order[:most]),
        trials=tuple(sorted((shares[count], tried[count]) for count in tried)),
        fidelity=tried[most],
    )


def _macs(node: ir.Node) -> int:
    """Multiplications of a convolution or matrix product; a free batch counts as 1."""
    values = (*node.inputs[:2], node.outputs[0])
    shapes = [
        [dim if isinstance(dim, int) else 1 for dim in value.shape or ()] for value in values if value is not None
    ]
    return multiply_adds(node.op_type, *shapes)


def _read(state: Path, table: CalibrationTable, target: Target) -> dict[str, float]:
    """What an earlier search of the same table has measured."""
    if not state.is_file():
        return {}
    found = json.loads(state.read_text())
    alone: dict[str, float] = found["alone"] if found["of"] == _of(table, target) else {}
    return alone


def _write(state: Path, table: CalibrationTable, target: Target, alone: dict[str, float]) -> None:
    with replacing(state) as temporary:
        temporary.write_text(json.dumps({"of": _of(table, target), "alone": alone}, indent=2) + "\n")


def _of(table: CalibrationTable, target: Target) -> list[str]:
    return [table.model_sha256, table.frames_sha256, table.method, target, str(table.version)]
