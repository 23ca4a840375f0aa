"""Layers kept in FP32 stay FP32 in ONNX Runtime with its default optimizations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper, parser

from amcnet.calibration import calibrate_on_batches
from amcnet.calibration.float_guard import guard_float


def _mask(path: Path, inputs: dict[str, NDArray[Any]], *, optimized: bool) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    mask: NDArray[np.float32] = session.run(["mask"], inputs)[0]
    return mask


@pytest.mark.parametrize("activation", [None, "Clip", "Relu"])
def test_float_nodes_are_not_quantized_by_the_library(chain_onnx: Path, tmp_path: Path, activation: str | None) -> None:
    """The filters of convolution 2 differ by a thousand times: with one scale for all, most would become 0."""
    model = onnx.load(chain_onnx)
    scales = np.array([1, 1e-3, 1e-3, 1e-3], np.float32).reshape(4, 1, 1, 1)
    for tensor in model.graph.initializer:
        if tensor.name in ("w2", "w3"):
            weights = numpy_helper.to_array(tensor)
            scaled = weights * scales if tensor.name == "w2" else weights / scales.reshape(1, 4, 1, 1)
            tensor.CopyFrom(numpy_helper.from_array(scaled, tensor.name))
    if activation:
        convolution = next(node for node in model.graph.node if node.name == "2")
        convolution.output[0] = "before"
        inputs = ["before", "least"] if activation == "Clip" else ["before"]
        place = list(model.graph.node).index(convolution) + 1
        model.graph.node.insert(place, helper.make_node(activation, inputs, ["3"], name="activation"))
        model.graph.initializer.append(numpy_helper.from_array(np.float32(-100), "least"))
    source, output = tmp_path / "chain.onnx", tmp_path / "chain.int8.onnx"
    onnx.save(model, str(source))
    rng = np.random.default_rng(1)
    inputs = {
        "0": rng.standard_normal((1, 4, 16, 16)).astype(np.float32),
        "flow_image": np.zeros((1, 1, 16, 16), np.float32),
    }
    calibrate_on_batches(source, output, [inputs], target="cpu", keep_float=["2"])
    expected, found = (_mask(output, inputs, optimized=optimized) for optimized in (False, True))
    assert np.abs(found - expected).max() < 0.02 * np.ptp(expected)


def test_only_nodes_between_quantized_ones_are_guarded() -> None:
    model = parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        graph (uint8[1, 1, 4, 4] x) => (uint8[1, 1, 4, 4] y, float[1, 1, 4, 4] z)
        <float scale = {1}, uint8 zero = {0}, float[1, 1, 1, 1] w = {0.5}> {
            a = DequantizeLinear (x, scale, zero)
            b = Conv (a, w)
            c = Relu (b)
            y = QuantizeLinear (c, scale, zero)
            z = Conv (a, w)
        }
        """
    )
    assert guard_float(model) == 1
    onnx.checker.check_model(model)
    assert [node.input[0] for node in model.graph.node if node.op_type == "Conv"][1] == "a"
