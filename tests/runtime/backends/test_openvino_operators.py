"""The custom operators in OpenVINO compute what their ONNX functions compute in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from amcnet.export import Exported
from amcnet.export.compare.onnx_run import onnx_run
from amcnet.export.functions import DOMAIN, functions
from amcnet.runtime.backends.openvino_backend import OpenVinoBackend, openvino_core

openvino = pytest.importorskip("openvino")
pytest.importorskip("openvino.frontend.onnx")

Shape = tuple[int, int, int, int]


def _model(path: Path, operator: str, shapes: list[Shape], outputs: int) -> Path:
    """A file with one node; the batch size of its inputs is free."""
    inputs = [f"input{index}" for index in range(len(shapes))]
    names = [f"output{index}" for index in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, names, domain=DOMAIN)],
        operator,
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape[1:]])
            for name, shape in zip(inputs, shapes, strict=True)
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=functions(17), ir_version=8)
    onnx.save(model, path)
    return path


def _values(shape: Shape, scale: float) -> NDArray[np.float32]:
    return (scale * np.random.default_rng(shape[1]).standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize(
    ("operator", "others", "outputs"),
    [("AmcCoAttentionGate", [6, 2], 2), ("AmcCoAttention", [6], 1), ("AmcCorrelation", [6], 1), ("AmcWarp", [2], 1)],
)
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 7, 12), (2, 5, 4), (1, 1, 2), (1, 3, 1)])
def test_each_operator_agrees_with_onnx_runtime(
    tmp_path: Path, operator: str, others: list[int], outputs: int, batch: int, height: int, width: int
) -> None:
    shapes = [(batch, channels, height, width) for channels in (6, *others)]
    path = _model(tmp_path / "operator.onnx", operator, shapes, outputs)
    # Flow of AmcWarp in pixels: positions inside, on the border and outside.
    inputs = {f"input{index}": _values(shape, 3.0) for index, shape in enumerate(shapes)}
    core = openvino_core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found: Any = compiled(inputs)
    for index, expected in enumerate(onnx_run(path)(inputs).values()):
        np.testing.assert_allclose(found[index], expected, rtol=1e-4, atol=1e-5)


def test_the_flow_of_pwcnet_agrees_with_onnx_runtime(exported: Callable[[str], Exported]) -> None:
    file = exported("pwcnet").file
    rng = np.random.default_rng(0)
    inputs = {name: rng.random((1, 3, 64, 128), np.float32) for name in ("frame", "next_frame")}
    expected = onnx_run(file.path)(inputs)["flow"]
    with OpenVinoBackend(file, 1) as network:
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(network.run(inputs)["flow"], expected, atol=1e-4)
