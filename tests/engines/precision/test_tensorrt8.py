"""Files rewritten for TensorRT 8.6 compute the same, and unsupported constructs are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from amcnet.engines.precision.onnx_lint import lint, require_buildable
from amcnet.engines.precision.tensorrt8 import rewrite
from amcnet.engines.tensorrt8_builder import file_types
from amcnet.export import Exported
from amcnet.export.compare.onnx_run import onnx_run
from amcnet.runtime.errors import ModelFileError


def _model(folder: Path, body: str, *, inputs: str, output: str, opset: int = 17, functions: str = "") -> Path:
    text = (
        f'<ir_version: 8, opset_import: ["": {opset}, "amcnet": 1]> g ({inputs}) => ({output}) {{ {body} }}{functions}'
    )
    path = folder / "m.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def test_a_rewritten_network_computes_the_same(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    source, target = exported("pwcnet").file.path, tmp_path / "x.onnx"
    assert {finding.what for finding in lint(source, tensorrt8=True)} == {"TensorRT 8 has no CastLike"}
    rewrite(source, target)
    require_buildable(target, tensorrt8=True)
    model = onnx.load(target)
    assert not model.functions
    assert [entry.domain for entry in model.opset_import] == [""]
    assert list(model.metadata_props) == list(onnx.load(source).metadata_props)
    rng = np.random.default_rng(0)
    inputs = {name: rng.random((1, 3, 64, 128), np.float32) for name in ("frame", "next_frame")}
    np.testing.assert_array_equal(onnx_run(target)(inputs)["flow"], onnx_run(source)(inputs)["flow"])
    assert {output for node in model.graph.node for output in node.output} <= file_types(target).keys()


@pytest.mark.parametrize("scales", [(0.1,), (1e-6, 0.3, 7.0)], ids=["one scale", "per channel"])
def test_int8_weights_are_quantized_to_the_same_values(scales: tuple[float, ...], tmp_path: Path) -> None:
    axis = "<axis = 0>" if len(scales) > 1 else ""
    body = f"w = DequantizeLinear {axis} (q, scale, zero) y = MatMul (w, x)"
    path = _model(tmp_path, body, inputs="float[255, 2] x", output="float[3, 2] y")
    model, shape = onnx.load(path), [len(scales)] if axis else []
    weights = np.stack([np.arange(-127, 128)] * 3).astype(np.int8)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(weights, "q"),
            helper.make_tensor("scale", onnx.TensorProto.FLOAT, shape, scales),
            helper.make_tensor("zero", onnx.TensorProto.INT8, shape, [0] * len(scales)),
        ]
    )
    onnx.save(model, path)
    rewrite(path, tmp_path / "x.onnx")
    rewritten = onnx.load(tmp_path / "x.onnx")
    assert [node.op_type for node in rewritten.graph.node] == ["QuantizeLinear", "DequantizeLinear", "MatMul"]
    kinds = {tensor.name: tensor.data_type for tensor in rewritten.graph.initializer}
    assert kinds == {"q/fp32": onnx.TensorProto.FLOAT, "scale": onnx.TensorProto.FLOAT, "zero": onnx.TensorProto.INT8}
    rewritten.graph.output.append(helper.make_tensor_value_info("q/int8", onnx.TensorProto.INT8, weights.shape))
    onnx.save(rewritten, tmp_path / "x.onnx")
    inputs = {"x": np.random.default_rng(0).random((255, 2), np.float32)}
    got = onnx_run(tmp_path / "x.onnx")(inputs)
    np.testing.assert_array_equal(got["q/int8"], weights)
    np.testing.assert_array_equal(got["y"], onnx_run(path)(inputs)["y"])


def test_weights_stored_in_fp16_do_not_make_an_fp16_file(tmp_path: Path) -> None:
    path = _model(tmp_path, "w = Cast <to = 1> (stored) y = Mul (x, w)", inputs="float[2] x", output="float[2] y")
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1.5, -2], np.float16), "stored"))
    onnx.save(model, path)
    assert file_types(path)["stored"] == "half"
    rewrite(path, tmp_path / "x.onnx")
    assert set(file_types(tmp_path / "x.onnx").values()) == {"float"}
    assert onnx_run(tmp_path / "x.onnx")({"x": np.ones(2, np.float32)})["y"].tolist() == [1.5, -2]


def test_a_cast_keeps_the_name_of_an_output_and_takes_the_type_of_the_other_input(tmp_path: Path) -> None:
    function = '<domain: "amcnet", opset_import: ["": 17]> AmcLike (a, b) => (c) { c = CastLike (a, b) }'
    inputs = "float[2] x, float16[1] like"
    path = _model(tmp_path, "y = amcnet.AmcLike (x, like)", inputs=inputs, output="float16[2] y", functions=function)
    rewrite(path, tmp_path / "x.onnx")
    (cast,) = onnx.load(tmp_path / "x.onnx").graph.node
    assert (cast.op_type, list(cast.input), list(cast.output)) == ("Cast", ["x"], ["y"])
    assert cast.attribute[0].i == onnx.TensorProto.FLOAT16


@pytest.mark.parametrize(
    ("body", "kind", "what"),
    [
        ("y = Unique (x)", "float", "TensorRT 8 has no Unique"),
        ("y = CastLike (x, x)", "float", "TensorRT 8 has no CastLike"),
        ("y = MatMul (x, x)", "int32", "TensorRT 8 has no MatMul of int32, only of FP32, FP16"),
        ("y = ReduceMax (x)", "int64", "TensorRT 8 has no ReduceMax of int64, only of FP32, FP16"),
        ("y = Transpose (x)", "uint8", "TensorRT 8 has no Transpose of uint8, only of FP32, FP16, INT32, INT8, BOOL"),
        ("y = Relu (x)", "bfloat16", "TensorRT 8 has no Relu of bfloat16, only of FP32, FP16, INT8"),
    ],
)
def test_unsupported_operators_are_found(body: str, kind: str, what: str, tmp_path: Path) -> None:
    path = _model(tmp_path, body, inputs=f"{kind}[4, 4] x", output=f"{kind}[4, 4] y")
    (finding,) = lint(path, tensorrt8=True)
    assert (finding.where, finding.what) == ("y", what)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("one = Constant <value = float {1.0}> () y = Add (x, one)", "float"),
        ("y = LayerNormalization (x, x)", "float16"),
        ("y = Mul (x, x)", "int64"),
        ("y = Not (x)", "bool"),
        ("y = Sqrt (x)", "double"),
    ],
)
def test_supported_operators_are_accepted(body: str, kind: str, tmp_path: Path) -> None:
    path = _model(tmp_path, body, inputs=f"{kind}[4, 4] x", output=f"{kind}[4, 4] y")
    assert lint(path, tensorrt8=True) == []


def test_a_newer_opset_is_an_error_for_tensorrt_8_alone(tmp_path: Path) -> None:
    path = _model(tmp_path, "y = Relu (x)", inputs="float[4] x", output="float[4] y", opset=18)
    require_buildable(path)
    with pytest.raises(ModelFileError, match=r"opset: got 18, expected 17 for TensorRT 8; export with --opset 17"):
        require_buildable(path, tensorrt8=True)
