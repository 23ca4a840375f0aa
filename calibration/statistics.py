"""Tensor statistics of a network on real frames: minimum, maximum, and a sample of values."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..export.compare.range_outputs import add_output, add_range_outputs, range_output
from ..runtime.backends.onnxruntime_session import open_session
from ..runtime.errors import ModelFileError

SAMPLE_VALUES = 1 << 16  # of each tensor, over all frames: 6 are beyond the 99.99 percentile
_POSITIONS = "amcnet.positions"


@dataclass(frozen=True, eq=False, kw_only=True)
class TensorStatistics:
    """Statistics of a tensor over all frames: minimum, maximum, and values at random positions.

    means: channel means (C,) if the tensor is the input (B, C, H, W) of a convolution, else empty.
    """

    low: float
    high: float
    sample: NDArray[np.float32]
    means: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


def collect_statistics(
    model: ir.Model, input_batches: Iterable[Mapping[str, NDArray[Any]]], frames: int
) -> dict[str, TensorStatistics]:
    """Run the FP32 `model` over `input_batches`, `frames` in number, and return the statistics of each tensor.

    Minimum, maximum and sample are computed inside the graph, so that each tensor can be freed right away: memory grows
    neither with the number of frames, which share the sample, nor with that of tensors. Positions are drawn for each
    frame with a fixed seed. Raises ModelFileError for a tensor that is not finite.
    """
    with tempfile.TemporaryDirectory(prefix="amcnet-calibration-") as folder:
        path = Path(folder) / "probe.onnx"
        names, averaged = _write_probe(model, path)
        session = open_session(path, in_order=True).session
    lows, highs = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    per_frame = max(1, SAMPLE_VALUES // frames)
    samples = np.empty((len(names), frames, per_frame), np.float32)
    sums: dict[str, NDArray[np.float64]] = {}
    outputs = [range_output(kind, index) for kind in ("low", "high", "sample") for index in range(len(names))]
    outputs += [range_output("mean", index) for index in averaged]
    rng = np.random.default_rng(0)
    for frame, inputs in enumerate(input_batches):
        positions = rng.integers(0, 1 << 40, per_frame)
        results = session.run(outputs, {**inputs, _POSITIONS: positions})
        low, high = (np.array(results[k * len(names) : (k + 1) * len(names)], np.float64) for k in range(2))
        samples[:, frame] = results[2 * len(names) : 3 * len(names)]
        for index, mean in zip(averaged, results[3 * len(names) :], strict=True):
            of_channels = mean.mean(axis=(0, 2, 3), dtype=np.float64)  # (B, C, 1, 1) -> (C,)
            sums[names[index]] = sums.get(names[index], 0) + of_channels
        finite = np.isfinite(low) & np.isfinite(high)
        if not finite.all():
            name = names[int(np.argmin(finite))]
            raise ModelFileError(
                f"the tensor {name!r} has NaN or infinite values on frame {frame}; expected finite ones"
            )
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


def _write_probe(model: ir.Model, path: Path) -> tuple[list[str], list[int]]:
    """Write `model` to `path` with outputs for minimum, maximum and sample of each FP32 tensor.

    Inputs of convolutions get an output for their channel means, too. Returns the names of the tensors and the indices
    of those inputs.
    """
    probe = model.clone()
    graph = probe.graph
    values = add_range_outputs(graph)
    positions = ir.Value(name=_POSITIONS, shape=ir.Shape(["positions"]), type=ir.TensorType(ir.DataType.INT64))
    graph.inputs.append(positions)
    flat = ir.Value(name="amcnet.flat", const_value=ir.tensor(np.array([-1], np.int64)))
    graph.register_initializer(flat)
    averaged = []
    for index, value in enumerate(values):
        size = ir.node("Size", [value])
        position = ir.node("Mod", [positions, size.outputs[0]])
        line = ir.node("Reshape", [value, flat])
        sample = ir.node("Gather", [line.outputs[0], position.outputs[0]])
        if any(user.op_type == "Conv" and number == 0 for user, number in value.uses()):
            averaged.append(index)
            mean = ir.node("GlobalAveragePool", [value])
            add_output(graph, value, [mean], range_output("mean", index), ir.Shape([None] * 4))
        add_output(graph, value, [size, position, line, sample], range_output("sample", index), ir.Shape(["positions"]))
    ir.save(probe, path)
    return [str(value.name) for value in values], averaged
