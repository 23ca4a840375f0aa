"""Range probe: the largest absolute value of each tensor on real frames, to find what exceeds the range of FP16."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ...export.compare.onnx_run import onnx_run
from ...export.compare.range_outputs import add_range_outputs, range_output
from ...runtime.errors import ModelFileError

LIMIT = 65504 / 4  # a margin of 4 to the largest FP16 value, for frames other than the probed ones
_LARGEST = 10  # tensors listed in a card
_SUMS = ("ReduceMean", "ReduceSum", "GlobalAveragePool")


@dataclass(frozen=True, kw_only=True)
class Fp32Region:
    """A tensor beyond the limit, and the `nodes` that produce or read it, which stay FP32."""

    tensor: str
    max_abs: float
    reason: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RangeReport:
    """max_abs: tensor -> largest |x| over all `frames`. fp32_regions: the tensors above `limit`, with reasons."""

    frames: int
    limit: float
    max_abs: dict[str, float]
    fp32_regions: tuple[Fp32Region, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the part recorded in a card: all FP32 regions, and the ten largest ranges."""
        largest = sorted(self.max_abs.items(), key=lambda item: -item[1])[:_LARGEST]
        regions = [asdict(region) | {"nodes": list(region.nodes)} for region in self.fp32_regions]
        return {"frames": self.frames, "limit": self.limit, "fp32_regions": regions, "largest": dict(largest)}


def probe_ranges(model: Path, input_batches: Iterable[Mapping[str, NDArray[Any]]]) -> RangeReport:
    """Run an FP32 file over `input_batches` and record the largest |x| of each FP32 tensor.

    FP32 regions, with LIMIT = 65504 / 4:

    - a tensor with |x| >= LIMIT, with the nodes that produce and read it;
    - a mean or sum whose total reaches LIMIT, computed as |result| times the number of terms.

    A product (Conv, MatMul) is judged by its inputs and its result. The bound Σ|w||x| would be tens of times too large:
    FP16 kernels accumulate in FP32, and LIMIT leaves partial sums a margin of 4.

    Minimum and maximum are computed inside the graph, so that memory grows neither with frames nor with tensors.
    Raises ModelFileError for a tensor that is not finite and for inputs that do not fit, ValueError if there are no
    input batches.
    """
    with tempfile.TemporaryDirectory(prefix="amcnet-probe-") as folder:
        path = Path(folder) / model.name
        loaded = ir.load(model)
        names = [str(value.name) for value in add_range_outputs(loaded.graph)]
        ir.save(loaded, path)
        run = onnx_run(path, in_order=True)
    max_abs = np.zeros(len(names), np.float64)
    frames = 0
    for inputs in input_batches:
        results = run(inputs)
        low, high = (
            np.array([results[range_output(kind, index)] for index in range(len(names))], np.float64)
            for kind in ("low", "high")
        )
        maxima = np.maximum(np.abs(low), np.abs(high))
        if not np.isfinite(maxima).all():
            name = names[int(np.argmin(np.isfinite(maxima)))]
            raise ModelFileError(
                f"the tensor {name!r} in {model} has NaN or infinite values on frame {frames}; expected finite numbers"
            )
        max_abs = np.maximum(max_abs, maxima)
        frames += 1
    if frames == 0:
        raise ValueError("got no input batches, expected at least one")
    by_name = dict(zip(names, max_abs.tolist(), strict=True))
    regions = _fp32_regions(ir.load(model).graph, by_name)
    return RangeReport(frames=frames, limit=LIMIT, max_abs=by_name, fp32_regions=regions)


def _fp32_regions(graph: ir.Graph, max_abs: Mapping[str, float]) -> tuple[Fp32Region, ...]:
    regions = []
    for value in [*graph.inputs, *(value for node in graph for value in node.outputs)]:
        largest = max_abs.get(str(value.name), 0.0)
        producer = value.producer()
        if largest >= LIMIT:
            nodes = {node.name: None for node in [producer, *value.consumers()] if node is not None}
            reason = f"|{value.name}| reaches {largest:.4g}, more than a quarter of 65504"
        elif producer is not None and producer.op_type in _SUMS and largest * _terms(producer) >= LIMIT:
            nodes = {producer.name: None}
            reason = f"{value.name} sums up to {largest * _terms(producer):.4g}, more than a quarter of 65504"
        else:
            continue
        regions.append(
            Fp32Region(tensor=str(value.name), max_abs=largest, reason=reason, nodes=tuple(str(name) for name in nodes))
        )
    return tuple(regions)


def _terms(node: ir.Node) -> int:
    """Count the values that a mean adds up for one result; 1 for a sum, whose result is the total."""
    before, after = node.inputs[0], node.outputs[0]
    if node.op_type == "ReduceSum" or before is None or before.shape is None or after.shape is None:
        return 1
    known = [math.prod(dim for dim in shape if isinstance(dim, int)) for shape in (before.shape, after.shape)]
    return known[0] // known[1]
