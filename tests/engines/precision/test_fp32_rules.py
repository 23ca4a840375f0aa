"""Each rule matches its nodes and no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, inliner, numpy_helper

from amcnet.engines.precision.fp16 import convert_to_fp16
from amcnet.engines.precision.fp32_rules import DEFAULT
from amcnet.export.compare.graph_shapes import GraphShapes
from amcnet.export.functions import functions
from amcnet.runtime.files import onnx_file
from amcnet.runtime.preprocessing.spec import AMCNET


def _fp32_nodes(
    body: str, *, weights: dict[str, tuple[int, ...]] | None = None, inputs: str, output: str
) -> dict[str, str]:
    """Name of each node in `body` that stays FP32 -> the rule's name."""
    text = f'<ir_version: 8, opset_import: ["": 17, "amcnet": 1]> g ({inputs}) => ({output}) {{ {body} }}'
    model = onnx.parser.parse_model(text)
    for name, shape in (weights or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    return {str(node.name): rule for node, rule in DEFAULT.find(ir.from_proto(model).graph).items()}


MAP = {"inputs": "float[1, 4, 8, 8] x", "output": "float[1, 4, 8, 8] y"}


def test_raw_pixels_stay_fp32_up_to_the_first_convolution() -> None:
    body = """
        [cast] c = Cast <to = 1> (x) [scale] s = Mul (c, k) [resize] r = MatMul (s, m)
        [join] j = Concat <axis = 1> (r, s) [conv] f = Conv (j, w) [relu] y = Relu (f)
    """
    weights = {"w": (8, 6, 1, 1), "k": (1,), "m": (8, 8)}
    found = _fp32_nodes(body, weights=weights, inputs="uint8[1, 3, 8, 8] x", output="float[1, 8, 8, 8] y")
    assert found == dict.fromkeys(["cast", "scale", "resize", "join"], "raw pixels")


def test_flow_stays_fp32_from_its_head_on_except_where_features_join() -> None:
    body = """
        [first] a = Conv <pads = [1, 1, 1, 1]> (x, w) [head] f = Conv <pads = [1, 1, 1, 1]> (a, h)
        [up] u = ConvTranspose (f, t) [up_features] v = ConvTranspose (a, tf) [scaled] p = Mul (f, k)
        [warp] q = amcnet.AmcWarp (a, p) [join] c = Concat <axis = 1> (q, f) [next] y = Conv (c, n)
    """
    weights = {
        "w": (4, 4, 3, 3),
        "h": (2, 4, 3, 3),
        "t": (2, 2, 1, 1),
        "tf": (4, 2, 1, 1),
        "k": (1,),
        "n": (4, 6, 1, 1),
    }
    assert _fp32_nodes(body, weights=weights, **MAP) == dict.fromkeys(["head", "up", "scaled"], "flow")


def test_gate_scores_and_pooled_channels_are_no_flow() -> None:
    body = """
        [first] a = Conv <pads = [1, 1, 1, 1]> (x, w) [score] s = Conv <pads = [1, 1, 1, 1]> (a, h)
        [gate] g, i = amcnet.AmcCoAttentionGate (a, a, s) [two] p = Conv (g, one) [back] b = Conv (p, back)
        [add] y = Add (b, i)
    """
    weights = {"w": (4, 4, 3, 3), "h": (2, 4, 3, 3), "one": (2, 4, 1, 1), "back": (4, 2, 1, 1)}
    assert _fp32_nodes(body, weights=weights, **MAP) == {}


@pytest.mark.parametrize(
    ("node", "stays_fp32"),
    [
        ("ReduceMean <axes = [2, 3]> (a)", True),
        ("ReduceMean <axes = [-1, -2]> (a)", True),
        ("ReduceMean (a)", True),
        ("GlobalAveragePool (a)", True),
        ("ReduceMean <axes = [1]> (a)", False),  # over channels
        ("ReduceMax <axes = [2, 3]> (a)", False),  # exact in any type
    ],
)
def test_means_over_maps_stay_fp32(node: str, stays_fp32: bool) -> None:
    body = f"[first] a = Conv <pads = [1, 1, 1, 1]> (x, w) [mean] m = {node} [add] y = Add (a, m)"
    found = _fp32_nodes(body, weights={"w": (4, 4, 3, 3)}, **MAP)
    assert found == ({"mean": "means over maps"} if stays_fp32 else {})


def test_outputs_stay_fp32_from_the_last_convolution_on() -> None:
    body = """
        [head] h = Conv <pads = [1, 1, 1, 1]> (x, w) [inner] i = Sigmoid (h) [used] u = Mul (h, i)
        [last] l = Conv <pads = [1, 1, 1, 1]> (u, w) [up] r = Resize (l, , s) [end] y = Sigmoid (r)
    """
    found = _fp32_nodes(body, weights={"w": (4, 4, 3, 3), "s": (4,)}, **MAP)
    assert found == dict.fromkeys(["up", "end"], "ends")


def test_a_function_without_a_rule_stays_fp32() -> None:
    body = "[first] a = Conv <pads = [1, 1, 1, 1]> (x, w) [call] y = amcnet.AmcUnheard (a)"
    assert _fp32_nodes(body, weights={"w": (4, 4, 3, 3)}, **MAP) == {"call": "function without a rule"}


def test_each_function_of_the_package_has_a_rule() -> None:
    assert {rule.name for rule in DEFAULT.functions} == {function.name for function in functions(17)}


CALLS = {
    "AmcCoAttention": ("y = amcnet.AmcCoAttention (a, b)", {"MatMul", "Softmax", "Div"}),
    "AmcCoAttentionGate": ("y, z = amcnet.AmcCoAttentionGate (a, b, s)", {"Sigmoid", "GlobalAveragePool"}),
    "AmcCorrelation": ("c = amcnet.AmcCorrelation (a, b) y = Conv (c, narrow)", {"MatMul", "Div"}),
    "AmcWarp": ("y = amcnet.AmcWarp (a, f)", {"GridSample", "Add", "Clip"}),
}


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("name", CALLS)
def test_functions_take_fp16_and_compute_in_fp32(name: str, opset: int, tmp_path: Path) -> None:
    """The feature maps at the call are FP16; the operators that the rule is for are FP32."""
    call, exact = CALLS[name]
    body = f"""
        a = Conv <pads = [1, 1, 1, 1]> (x, w) b = Conv <pads = [1, 1, 1, 1]> (a, w)
        s = Conv <pads = [1, 1, 1, 1]> (b, h) f = Conv <pads = [1, 1, 1, 1]> (b, h) {call}
    """
    inputs, output = "float[1, 4, 8, 8] x", "float[1, 4, 8, 8] y"
    text = f'<ir_version: 8, opset_import: ["": {opset}, "amcnet": 1]> g ({inputs}) => ({output}) {{ {body} }}'
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for weight, shape in {"w": (4, 4, 3, 3), "h": (2, 4, 3, 3), "narrow": (4, 81, 1, 1)}.items():
        model.graph.initializer.append(numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), weight))
    for index, node in enumerate(model.graph.node):
        node.name = f"n{index}"
    model.functions.extend(function for function in functions(opset) if function.name == name)
    shapes = onnx.shape_inference.infer_shapes(inliner.inline_local_functions(model))
    model.graph.value_info.extend(v for v in shapes.graph.value_info if v.name in "abcsf")
    if name == "AmcCoAttentionGate":
        model.graph.value_info.append(onnx.helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 4, 8, 8]))
    metadata = dict.fromkeys(onnx_file.REQUIRED, "x") | {onnx_file.PRECISION: "fp32"}
    onnx.helper.set_model_props(model, metadata | {onnx_file.PREPROCESSING: AMCNET.to_json()})
    onnx.save(model, tmp_path / "m.onnx")
    convert_to_fp16(tmp_path / "m.onnx", tmp_path / "fp16.onnx")

    graph = GraphShapes.read(tmp_path / "fp16.onnx")
    assert graph.types["a"] == graph.types["b"] == TensorProto.FLOAT16
    inside = {(node.op_type, graph.types[node.output[0]]) for node in graph.nodes if node.op_type in exact}
    assert inside == {(operator, TensorProto.FLOAT) for operator in exact}
    x = rng.standard_normal((1, 4, 8, 8)).astype(np.float32)
    results = [
        onnxruntime.InferenceSession(tmp_path / file, providers=["CPUExecutionProvider"]).run(["y"], {"x": x})[0]
        for file in ("m.onnx", "fp16.onnx")
    ]
    assert np.abs(results[0]).max() > 0.01
    np.testing.assert_allclose(results[1], results[0], atol=5e-3)
