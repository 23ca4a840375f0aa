"""Tensor statistics compared with numpy, and their memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import parser

from amcnet.calibration.statistics import SAMPLE_VALUES, collect_statistics
from amcnet.runtime.errors import ModelFileError

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
graph (float[1, 8] x) => (float[1, 8] y) { d = Add (x, x) y = Relu (d) }
"""


def _model() -> ir.Model:
    return ir.from_proto(onnx.shape_inference.infer_shapes(parser.parse_model(MODEL)))


def test_extremes_and_a_sample_are_collected() -> None:
    frames = [np.linspace(-k, k, 8, dtype=np.float32)[None] for k in (1, 3, 2)]
    found = collect_statistics(_model(), ({"x": frame} for frame in frames), 3)
    assert set(found) == {"x", "d", "y"}
    assert (found["x"].low, found["d"].low, found["y"].low) == (-3, -6, 0)
    assert (found["x"].high, found["d"].high, found["y"].high) == (3, 6, 6)
    per_frame = SAMPLE_VALUES // 3
    for index, frame in enumerate(frames):
        part = found["x"].sample[index * per_frame : (index + 1) * per_frame]
        assert set(part.tolist()) == set(frame.ravel().tolist())  # all places are met, each frame's in its turn
        assert np.bincount(np.searchsorted(frame[0], part)).min() > 0.9 * per_frame / 8
    again = collect_statistics(_model(), ({"x": frame} for frame in frames), 3)
    np.testing.assert_array_equal(again["y"].sample, found["y"].sample)


def test_the_sample_does_not_grow_with_the_frames() -> None:
    def input_batches(count: int) -> Iterator[dict[str, NDArray[Any]]]:
        return ({"x": np.ones((1, 8), np.float32)} for _ in range(count))

    assert collect_statistics(_model(), input_batches(4), 4)["x"].sample.size == SAMPLE_VALUES
    assert collect_statistics(_model(), input_batches(64), 64)["x"].sample.size == SAMPLE_VALUES


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    inputs = {"x": np.array([[0, 1, 2, 3, 4, 5, 6, bad]], np.float32)}
    with pytest.raises(ModelFileError, match="the tensor 'x' has NaN or infinite values on frame 0"):
        collect_statistics(_model(), [inputs], 1)


def test_means_are_collected_for_inputs_of_convolutions() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    graph (float[1, 2, 3, 3] x, float[1, 2, 1, 1] w) => (float[1, 1, 3, 3] y) { d = Add (x, x) y = Conv (d, w) }
    """
    model = ir.from_proto(onnx.shape_inference.infer_shapes(parser.parse_model(text)))
    frames = [np.random.default_rng(k).standard_normal((1, 2, 3, 3)).astype(np.float32) for k in range(3)]
    weights = np.ones((1, 2, 1, 1), np.float32)
    found = collect_statistics(model, [{"x": frame, "w": weights} for frame in frames], 3)
    np.testing.assert_allclose(found["d"].means, 2 * np.mean(frames, axis=(0, 1, 3, 4)), rtol=1e-5)
    assert all(found[name].means.size == 0 for name in ("x", "w", "y"))
