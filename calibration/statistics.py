"""What the tensors of a network are like on real frames: their ends, and a sample of what lies between."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .. import ModelFileError

SAMPLE_VALUES = 1 << 16  # of each tensor, over all frames: 6 lie beyond the percentile 99.99
_PLACES = "amcnet.places"


@dataclass(frozen=True, eq=False, kw_only=True)
class TensorStatistics:
    """Of one tensor over all frames: its least and greatest value, and values from places drawn at random.

    means: of each of its channels, (C,), where it is the input (B, C, H, W) of a convolution, else empty.
    """

    low: float
    high: float
    sample: NDArray[np.float32]
    means: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


def collect_statistics(
    model: ir.Model, feeds: Iterable[Mapping[str, NDArray[Any]]], frames: int
) -> dict[str, TensorStatistics]:
    """Run `model` (float32) over `feeds`, `frames` arrays by input name -> the statistics of each of its tensors.

    Ends and sample are taken inside the graph, so that a tensor is freed as soon as it is measured: memory grows
    neither with the frames (the sample is shared out among them) nor with the number of tensors held at once. The
    places are drawn anew for each frame, the same in each run. Raises ModelFileError for a tensor that is not finite.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="amcnet-calibration-") as folder:
        path = Path(folder) / "probe.onnx"
        names, averaged = _write_probe(model, path)
        options = onnxruntime.SessionOptions()
        # In the order of the file: by default all measuring comes last, and until then no tensor could be freed.
        options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    lows, highs = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    per_frame = max(1, SAMPLE_VALUES // frames)
    samples = np.empty((len(names), frames, per_frame), np.float32)
    sums: dict[str, NDArray[np.float64]] = {}
    outputs = [_output(kind, index) for kind in ("low", "high", "sample") for index in range(len(names))]
    outputs += [_output("mean", index) for index in averaged]
    rng = np.random.default_rng(0)
    for frame, feed in enumerate(feeds):
        places = rng.integers(0, 1 << 40, per_frame)
        results = session.run(outputs, {**feed, _PLACES: places})
        low, high = (np.array(results[k * len(names) : (k + 1) * len(names)], np.float64) for k in range(2))
        samples[:, frame] = results[2 * len(names) : 3 * len(names)]
        for index, mean in zip(averaged, results[3 * len(names) :], strict=True):
            of_channels = mean.mean(axis=(0, 2, 3), dtype=np.float64)  # (B, C, 1, 1) -> (C,)
            sums[names[index]] = sums.get(names[index], 0) + of_channels
        finite = np.isfinite(low) & np.isfinite(high)
        if not finite.all():
            name = names[int(np.argmin(finite))]
            raise ModelFileError(f"{name!r} is not finite on frame {frame}; expected a network whose masks are good")
        lows, highs = np.minimum(lows, low), np.maximum(highs, high)
    return {
        name: TensorStatistics(
            low=float(low),
            high=float(high),
            sample=sample.ravel(),
            means=sums[name] / frames if name in sums else np.empty(0),
        )
        for name, low, high, sample in zip(names, lows, highs, samples, strict=True)
    }


def _output(kind: str, index: int) -> str:
    return f"amcnet.{kind}.{index}"


def _write_probe(model: ir.Model, path: Path) -> tuple[list[str], list[int]]:
    """Write `model` to `path` with three more outputs for each float tensor, and one for each input of a convolution.

    Returns the tensors' names, and which of them are such inputs.
    """
    probe = model.clone()
    graph = probe.graph
    values = [*graph.inputs, *(value for node in graph for value in node.outputs)]
    values = [value for value in values if value.dtype == ir.DataType.FLOAT]
    places = ir.Value(name=_PLACES, shape=ir.Shape(["places"]), type=ir.TensorType(ir.DataType.INT64))
    graph.inputs.append(places)
    flat = ir.Value(name="amcnet.flat", const_value=ir.tensor(np.array([-1], np.int64)))
    graph.register_initializer(flat)
    zero = ir.Value(name="amcnet.zero", const_value=ir.tensor(np.float32(0)))
    graph.register_initializer(zero)
    averaged = []
    for index, value in enumerate(values):
        low = ir.node("ReduceMin", [value], attributes={"keepdims": 0})
        # ONNX Runtime's maximum passes NaN over: zero times the sum is NaN where any value is not finite.
        total = ir.node("ReduceSum", [value], attributes={"keepdims": 0})
        nothing = ir.node("Mul", [total.outputs[0], zero])
        highest = ir.node("ReduceMax", [value], attributes={"keepdims": 0})
        high = ir.node("Add", [highest.outputs[0], nothing.outputs[0]])
        size = ir.node("Size", [value])
        place = ir.node("Mod", [places, size.outputs[0]])
        line = ir.node("Reshape", [value, flat])
        sample = ir.node("Gather", [line.outputs[0], place.outputs[0]])
        nodes = [low, total, nothing, highest, high, size, place, line, sample]
        results = [("low", low), ("high", high), ("sample", sample)]
        if any(user.op_type == "Conv" and number == 0 for user, number in value.uses()):
            averaged.append(index)
            nodes.append(ir.node("GlobalAveragePool", [value]))
            results.append(("mean", nodes[-1]))
        for node in nodes:
            node.name = node.outputs[0].name = f"amcnet.{index}/{node.op_type}"
        producer = value.producer()
        if producer is None:
            graph.insert_before(graph[0], nodes)
        else:
            graph.insert_after(producer, nodes)
        for kind, node in results:
            output = node.outputs[0]
            output.name, output.dtype = _output(kind, index), ir.DataType.FLOAT
            output.shape = {"sample": ir.Shape(["places"]), "mean": ir.Shape([None] * 4)}.get(kind, ir.Shape([]))
            graph.outputs.append(output)
    ir.save(probe, path)
    return [str(value.name) for value in values], averaged
