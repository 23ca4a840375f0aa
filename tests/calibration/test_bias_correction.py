"""Corrected biases cancel the mean error of rounded weights, exactly if the input equals its mean."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from amcnet.calibration import CalibrationTable
from amcnet.calibration.bias_correction import correct_biases
from amcnet.calibration.table import TensorRange

MEANS = (0.5, -1.0, 2.0, 3.0)


def _model(groups: int, bias: bool) -> onnx.ModelProto:
    rng = np.random.default_rng(groups)
    weights = rng.standard_normal((8, 4 // groups, 3, 3)).astype(np.float32)
    weights[3] = 0  # a dead channel has no scale
    tensors = {"w": weights} | ({"b": rng.standard_normal(8).astype(np.float32)} if bias else {})
    node = helper.make_node("Conv", ["x", *tensors], ["y"], name="conv", group=groups)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 5, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 3, 3])],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _table(means: tuple[float, ...]) -> CalibrationTable:
    x = TensorRange(low=-1.0, high=3.0, saturated=0.0, least=-1.0, greatest=3.0, means=means)
    return CalibrationTable(model_sha256="", frames_sha256="", frames=1, method="minmax", tensors={"x": x})


def _run(model: onnx.ModelProto) -> NDArray[np.float32]:
    x = np.broadcast_to(np.array(MEANS, np.float32).reshape(1, 4, 1, 1), (1, 4, 5, 5))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y: NDArray[np.float32] = session.run(None, {"x": np.ascontiguousarray(x)})[0]
    return y


def _round_weights(model: onnx.ModelProto) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "w")
    weights = numpy_helper.to_array(tensor)
    step = np.maximum(np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / 127, 1e-9)
    tensor.CopyFrom(numpy_helper.from_array((np.round(weights / step) * step).astype(np.float32), "w"))


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_the_mean_error_of_channels_is_corrected(groups: int, bias: bool) -> None:
    model = _model(groups, bias)
    expected = _run(model)
    rounded = _model(groups, bias)
    _round_weights(rounded)
    assert np.abs(_run(rounded) - expected).max() > 1e-3
    assert correct_biases(model, _table(MEANS), ["conv"]) == 1
    _round_weights(model)
    np.testing.assert_allclose(_run(model), expected, atol=1e-5)


def test_without_means_or_in_fp32_biases_are_unchanged() -> None:
    model = _model(1, bias=True)
    before = model.SerializeToString()
    assert correct_biases(model, _table(()), ["conv"]) == 0
    assert correct_biases(model, _table(MEANS), []) == 0
    assert model.SerializeToString() == before
