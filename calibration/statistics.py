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

from ..export.range_outputs import add_output, add_range_outputs, range_output
from ..runtime.backends.onnxruntime_session import open_session
from ..runtime.errors import ModelFileError

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
    model: ir.Model, input_batches: Iterable[Mapping[str, NDArray[Any]]], frames: int
) -> dict[str, TensorStatistics]:
    """Run `model` (float32) over `feeds`, `frames` arrays by input name -> the statistics of each of its tensors.

    Ends and sample are taken inside the graph, so that a tensor is freed as soon as it is measured: memory grows
    neither with the frames (the sample is shared out among them) nor with the number of tensors held at once. The
    places are drawn anew for each frame, the same in each run. Raises ModelFileError for a tensor that is not finite.
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
    for frame, feed in enumerate(input_batches):
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


def _write_probe(model: ir.Model, path: Path) -> tuple[list[str], list[int]]:
    """Write `model` to `path` with three more outputs for each float tensor, and one for each input of a convolution.

    Returns the tensors' names, and which of them are such inputs.
    """
    probe = model.clone()
    graph = probe.graph
    values = add_range_outputs(graph)
    places = ir.Value(name=_PLACES, shape=ir.Shape(["places"]), type=ir.TensorType(ir.DataType.INT64))
    graph.inputs.append(places)
    flat = ir.Value(name="amcnet.flat", const_value=ir.tensor(np.array([-1], np.int64)))
    graph.register_initializer(flat)
    averaged = []
    for index, value in enumerate(values):
        size = ir.node("Size", [value])
        place = ir.node("Mod", [places, size.outputs[0]])
        line = ir.node("Reshape", [value, flat])
        sample = ir.node("Gather", [line.outputs[0], place.outputs[0]])
        if any(user.op_type == "Conv" and number == 0 for user, number in value.uses()):
            averaged.append(index)
            mean = ir.node("GlobalAveragePool", [value])
            add_output(graph, value, [mean], range_output("mean", index), ir.Shape([None] * 4))
        add_output(graph, value, [size, place, line, sample], range_output("sample", index), ir.Shape(["places"]))
    ir.save(probe, path)
    return [str(value.name) for value in values], averaged
