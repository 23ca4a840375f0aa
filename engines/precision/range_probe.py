"""How large a network's tensors get on real frames, and so what must not be computed in half."""

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
from ...export.range_outputs import add_range_outputs, range_output
from ...runtime.errors import ModelFileError

LIMIT = 65504 / 4  # a quarter of the largest half: other frames may be brighter than those that were seen
_LARGEST = 10  # tensors that a card lists
_SUMS = ("ReduceMean", "ReduceSum", "GlobalAveragePool")


@dataclass(frozen=True, kw_only=True)
class Fp32Region:
    """A tensor that is too large for half: `nodes`, which make or read it, compute in float32."""

    tensor: str
    max_abs: float
    reason: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RangeReport:
    """max_abs: tensor -> the largest |x| in all `frames` feeds. fp32_regions: the tensors above `limit`, and why."""

    frames: int
    limit: float
    max_abs: dict[str, float]
    fp32_regions: tuple[Fp32Region, ...]

    def to_json(self) -> dict[str, Any]:
        """What a card says of it: of the ranges only the ten largest."""
        largest = sorted(self.max_abs.items(), key=lambda item: -item[1])[:_LARGEST]
        fp32_regions = [asdict(region) | {"nodes": list(region.nodes)} for region in self.fp32_regions]
        return {"frames": self.frames, "limit": self.limit, "fp32_regions": fp32_regions, "largest": dict(largest)}


def probe_ranges(model: Path, input_batches: Iterable[Mapping[str, NDArray[Any]]]) -> RangeReport:
    """Run the FP32 file over `feeds` (input name -> array) and record the largest |x| of each float tensor.

    What becomes an region, with LIMIT = 65504 / 4:

    - a tensor with |x| >= LIMIT: what makes it and what reads it;
    - a mean or sum whose total reaches LIMIT: |result| times the number of terms. A mean is harmless, the sum on the
      way to it need not be.

    A product (Conv, MatMul) is judged by its inputs and its result, not by Σ|w||x|: that bound is tens of times too
    large, kernels for halves add up in float32, and where one does not, partial sums have a factor of 4 to spare.

    Least and greatest values are taken inside the graph, two numbers a tensor: memory grows neither with
    frames nor with tensors.
    Raises ModelFileError for a tensor that is not finite or feeds that do not fit, ValueError without feeds.
    """
    with tempfile.TemporaryDirectory(prefix="amcnet-probe-") as folder:
        path = Path(folder) / model.name
        loaded = ir.load(model)
        names = [str(value.name) for value in add_range_outputs(loaded.graph)]
        ir.save(loaded, path)
        run = onnx_run(path, in_order=True)
    max_abs = np.zeros(len(names), np.float64)
    frames = 0
    for feed in input_batches:
        results = run(feed)
        low, high = (
            np.array([results[range_output(kind, index)] for index in range(len(names))], np.float64)
            for kind in ("low", "high")
        )
        maxima = np.maximum(np.abs(low), np.abs(high))
        if not np.isfinite(maxima).all():
            name = names[int(np.argmin(np.isfinite(maxima)))]
            raise ModelFileError(f"{name!r} in {model} is not finite on frame {frames}; expected finite numbers")
        max_abs = np.maximum(max_abs, maxima)
        frames += 1
    if frames == 0:
        raise ValueError("there are no feeds; expected at least one")
    by_name = dict(zip(names, max_abs.tolist(), strict=True))
    return RangeReport(
        frames=frames, limit=LIMIT, max_abs=by_name, fp32_regions=_islands(ir.load(model).graph, by_name)
    )


def _islands(graph: ir.Graph, max_abs: Mapping[str, float]) -> tuple[Fp32Region, ...]:
    fp32_regions = []
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
        fp32_regions.append(
            Fp32Region(tensor=str(value.name), max_abs=largest, reason=reason, nodes=tuple(str(name) for name in nodes))
        )
    return tuple(fp32_regions)


def _terms(node: ir.Node) -> int:
    """How many values a reduction adds up for one result; 1 for a sum, whose result is the total."""
    before, after = node.inputs[0], node.outputs[0]
    if node.op_type == "ReduceSum" or before is None or before.shape is None or after.shape is None:
        return 1
    known = [math.prod(dim for dim in shape if isinstance(dim, int)) for shape in (before.shape, after.shape)]
    return known[0] // known[1]
