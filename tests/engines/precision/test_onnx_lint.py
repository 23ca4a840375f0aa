"""Constructs that TensorRT does not support are found; supported ones are not reported."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from amcnet.engines.precision.onnx_lint import Finding, lint, require_buildable
from amcnet.runtime.errors import ModelFileError


def _lint(text: str, folder: Path) -> list[Finding]:
    onnx.save(onnx.parser.parse_model(text), folder / "m.onnx")
    return lint(folder / "m.onnx")


def _graph(body: str, opset: int = 17, inputs: str = "float[N, 4] x", output: str = "float[N, 4] y") -> str:
    return f'<ir_version: 8, opset_import: ["": {opset}, "amcnet": 1]> g ({inputs}) => ({output}) {{ {body} }}'


@pytest.mark.parametrize("name", ["Relu", "RELU", "gridsample", "Upsample"])
def test_a_function_named_like_an_operator_is_found(name: str, tmp_path: Path) -> None:
    function = f'<domain: "amcnet", opset_import: ["": 17]> {name} (a) => (b) {{ b = Neg (a) }}'
    (finding,) = _lint(_graph(f"y = amcnet.{name} (x)") + function, tmp_path)
    assert finding.where == name
    assert "which TensorRT would run instead" in finding.what


def test_a_function_with_a_unique_name_is_accepted(tmp_path: Path) -> None:
    function = '<domain: "amcnet", opset_import: ["": 17]> AmcRelu (a) => (b) { b = Relu (a) }'
    assert _lint(_graph("y = amcnet.AmcRelu (x)") + function, tmp_path) == []


@pytest.mark.parametrize(("opset", "wrong"), [(16, True), (17, False), (18, False), (19, True)])
def test_unsupported_opsets_are_found(opset: int, wrong: bool, tmp_path: Path) -> None:
    findings = _lint(_graph("y = Relu (x)", opset), tmp_path)
    assert [finding.where for finding in findings] == (["opset"] if wrong else [])
    assert all(str(opset) in finding.what for finding in findings)


@pytest.mark.parametrize(("opset", "mode", "wrong"), [(17, "bilinear", False), (20, "linear", True)])
def test_unsupported_forms_of_grid_sample_are_found(opset: int, mode: str, wrong: bool, tmp_path: Path) -> None:
    # Inside a function, where ours is.
    function = f'<domain: "amcnet", opset_import: ["": {opset}]> AmcSample (a, p) => (b) '
    function += f'{{ b = GridSample <mode = "{mode}"> (a, p) }}'
    inputs, output = "float[1, 2, 8, 8] x, float[1, 4, 4, 2] grid", "float[1, 2, 4, 4] y"
    findings = _lint(_graph("y = amcnet.AmcSample (x, grid)", opset, inputs, output) + function, tmp_path)
    assert any("wrong results" in finding.what for finding in findings) == wrong


_QUANTIZED = "q = QuantizeLinear (x, scale, zero) y = DequantizeLinear (q, scale, zero)"


@pytest.mark.parametrize(("zero", "wrong"), [("int8 {0}", False), ("int8 {3}", True), ("uint8 {128}", True)])
def test_zero_points_other_than_0_are_found(zero: str, wrong: bool, tmp_path: Path) -> None:
    constants = f"scale = Constant <value = float {{0.1}}> () zero = Constant <value = {zero}> ()"
    findings = _lint(_graph(f"{constants} {_QUANTIZED}"), tmp_path)
    assert len(findings) == (2 if wrong else 0)
    assert all("got a zero point other than 0" in finding.what for finding in findings)


def test_zero_points_in_initializers_are_found(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(_graph(_QUANTIZED))
    for zero, count in ((0, 0), (1, 2)):
        model.graph.ClearField("initializer")
        model.graph.initializer.append(onnx.helper.make_tensor("scale", onnx.TensorProto.FLOAT, [], [0.1]))
        model.graph.initializer.append(onnx.helper.make_tensor("zero", onnx.TensorProto.INT8, [], [zero]))
        onnx.save(model, tmp_path / "m.onnx")
        assert len(lint(tmp_path / "m.onnx")) == count


def test_a_computed_zero_point_is_found(tmp_path: Path) -> None:
    inputs = "float[N, 4] x, float scale, int8 given"
    findings = _lint(_graph("zero = Identity (given) " + _QUANTIZED, inputs=inputs), tmp_path)
    assert [finding.what for finding in findings] == ["got a computed zero point, expected a constant 0"] * 2


def test_a_quantized_bias_is_found(tmp_path: Path) -> None:
    findings = _lint(_graph("y = DequantizeLinear (x, scale)", inputs="int32[N, 4] x, float scale"), tmp_path)
    assert [finding.what for finding in findings] == ["DequantizeLinear of int32 is not supported; keep biases in FP32"]


INT64 = {"inputs": "int64[4, 4] x", "output": "int64[4, 4] y"}


@pytest.mark.parametrize("body", ["y = MatMul (x, x)", "y = Clip (x, low)", "axis = Size (x) y = CumSum (x, low)"])
def test_int64_arithmetic_on_data_is_found(body: str, tmp_path: Path) -> None:
    low = "low = Constant <value = int64 {0}> ()"
    (finding,) = _lint(_graph(f"{low} {body}", **INT64), tmp_path)
    assert "of int64 data is not supported" in finding.what


def test_int64_arithmetic_that_tensorrt_supports_is_accepted(tmp_path: Path) -> None:
    assert _lint(_graph("a = Add (x, x) b = Mul (a, x) c = Max (a, b) y = Mod (c, x)", **INT64), tmp_path) == []


def test_int64_arithmetic_on_shapes_is_accepted(tmp_path: Path) -> None:
    # Inside a function, whose inputs are data but whose shapes are known when the engine is built.
    function = '<domain: "amcnet", opset_import: ["": 17]> AmcFlat (a) => (b) {'
    function += " one = Constant <value = int64 {1}> () s = Shape (a) t = Clip (s, one) b = Reshape (a, t) }"
    assert _lint(_graph("y = amcnet.AmcFlat (x)") + function, tmp_path) == []


def test_all_findings_are_reported_in_one_error(tmp_path: Path) -> None:
    _lint(_graph("y = MatMul (x, x)", 19, **INT64), tmp_path)
    with pytest.raises(ModelFileError) as error:
        require_buildable(tmp_path / "m.onnx")
    first, *findings = str(error.value).splitlines()
    assert first == "m.onnx is not supported by TensorRT:"
    assert [line.split(":")[0] for line in findings] == ["  opset", "  y"]
    _lint(_graph("y = Relu (x)"), tmp_path)
    require_buildable(tmp_path / "m.onnx")
