"""ONNX files in the form that the parser of TensorRT 8.6 reads, and a check of their operators.

The operators and types are those of docs/operators.md of onnx-tensorrt 8.5 with the additions of its changelog for 8.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx import TensorProto

from ...calibration.load_model import fold_stored_weights, inline_functions
from ...export.compare.graph_shapes import GraphShapes
from ...export.functions import DOMAIN
from ...runtime.files.atomic import replacing
from .onnx_lint import Finding, node_name

OPSET = 17  # the newest that it supports
_TYPES: dict[int, str] = {  # int64 is read as int32, and double as float
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP32",
    TensorProto.FLOAT16: "FP16",
    TensorProto.INT8: "INT8",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT32",
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
}
_SUPPORTED = {  # types of the first input -> operators
    "FP32 FP16": "Acos Acosh Asin Asinh Atan Atanh BatchNormalization Ceil Celu Cos Cosh CumSum Dropout Einsum Erf Exp "
    "Floor GRU GridSample GroupNormalization InstanceNormalization IsInf LRN LSTM LayerNormalization Log LogSoftmax "
    "LpNormalization MatMul MeanVarianceNormalization NonMaxSuppression NonZero Pow QuantizeLinear RNN Reciprocal "
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare Resize ReverseSequence RoiAlign Scan Sin Sinh Softmax Sqrt Tan Upsample",
    "FP32 FP16 INT32": "Abs Add ArgMax ArgMin DepthToSpace Div Equal Greater GreaterOrEqual IsNaN Less LessOrEqual Max "
    "Mean Min Mod Mul Neg Range Shrink SpaceToDepth Sub Sum TopK",
    "FP32 FP16 INT8": "Clip Conv ConvTranspose Elu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool HardSigmoid "
    "HardSwish LeakyRelu LpPool MaxPool PRelu Relu Round Selu Sigmoid Softplus Softsign Tanh ThresholdedRelu",
    "FP32 FP16 INT8 INT32": "AveragePool Pad Scatter ScatterElements ScatterND Sign",
    "FP32 FP16 INT32 BOOL": "Expand EyeLike Flatten If Loop OneHot Split Tile Where",
    "FP32 FP16 INT32 INT8 BOOL": "Concat ConstantOfShape Gather GatherElements GatherND Identity Reshape Shape Size "
    "Slice Squeeze Transpose Trilu Unsqueeze",
    "FP32 FP16 INT32 INT8 BOOL UINT8": "Cast",  # UINT8 at inputs and outputs of the network only
    "INT8": "DequantizeLinear",
    "BOOL": "And Not Or Xor",
}
_OPERATORS = {operator: types.split() for types, operators in _SUPPORTED.items() for operator in operators.split()}
_WITHOUT_INPUT = ("Constant", "RandomNormal", "RandomUniform")


def rewrite(source: Path, target: Path) -> None:
    """Write `target`: the file `source` for the parser of TensorRT 8.6. It computes the same.

    - Functions are inlined: the parser reads them since TensorRT 9.
    - Weights stored in FP16 become FP32, so that an FP32 file has no FP16 tensors.
    - CastLike becomes Cast.
    - INT8 weights, which the parser does not read, become FP32 weights and a QuantizeLinear that gives the same INT8.

    Raises OutputError if `target` cannot be written.
    """
    model = ir.load(source)
    fold_stored_weights(model)
    model.graph.sort()  # ONNX Runtime's quantizer appends its nodes
    model = inline_functions(model)
    model.opset_imports.pop(DOMAIN, None)
    for node in list(model.graph):
        if node.op_type == "CastLike":
            _cast(model.graph, node)
        elif node.op_type == "DequantizeLinear" and node.inputs[0] is not None and node.inputs[0].is_initializer():
            _quantize_in_graph(model.graph, node)
    for name in [name for name, value in model.graph.initializers.items() if not value.uses()]:
        del model.graph.initializers[name]
    with replacing(target) as temporary:
        ir.save(model, temporary)


def lint_tensorrt8(model: Path) -> Iterator[Finding]:
    """Yield the operators of a file, or their types, that TensorRT 8.6 does not support, and a newer opset."""
    graph = GraphShapes.read(model)
    if graph.opset > OPSET:
        yield Finding(where="opset", what=f"got {graph.opset}, expected {OPSET} for TensorRT 8; export with --opset 17")
    for node in graph.nodes:
        if node.op_type in _WITHOUT_INPUT:
            continue
        supported = _OPERATORS.get(node.op_type)
        if supported is None:
            yield Finding(where=node_name(node), what=f"TensorRT 8 has no {node.op_type}")
            continue
        kind = graph.types.get(node.input[0], TensorProto.UNDEFINED)
        if kind != TensorProto.UNDEFINED and _TYPES.get(kind) not in supported:
            what = f"TensorRT 8 has no {node.op_type} of {TensorProto.DataType.Name(kind).lower()}"
            yield Finding(where=node_name(node), what=f"{what}, only of {', '.join(supported)}")


def _cast(graph: ir.Graph, node: ir.Node) -> None:
    value, like = node.inputs
    assert like is not None
    assert like.dtype is not None
    cast = ir.node("Cast", [value], attributes={"to": like.dtype}, name=node.name)
    _replace(graph, node, cast)


def _quantize_in_graph(graph: ir.Graph, node: ir.Node) -> None:
    """Quantize the constant weights that `node` dequantizes in the graph instead of storing them in INT8."""
    quantized, scale, zero_point = node.inputs
    assert quantized is not None
    assert quantized.const_value is not None
    assert scale is not None
    assert scale.const_value is not None
    weights, scales = quantized.const_value.numpy(), scale.const_value.numpy()
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 1
    if scales.ndim:
        scales = scales.reshape([-1 if index == axis % weights.ndim else 1 for index in range(weights.ndim)])
    name = f"{quantized.name}/fp32"
    fp32 = ir.Value(name=name, const_value=ir.tensor(weights.astype(np.float32) * scales, name=name))
    fp32.dtype, fp32.shape = ir.DataType.FLOAT, quantized.shape
    graph.register_initializer(fp32)
    attributes = {"axis": axis} if scales.ndim else {}
    quantize = ir.node("QuantizeLinear", [fp32, scale, zero_point], attributes=attributes, name=f"{node.name}/quantize")
    quantize.outputs[0].name = f"{quantized.name}/int8"
    quantize.outputs[0].dtype, quantize.outputs[0].shape = ir.DataType.INT8, quantized.shape
    graph.insert_before(node, quantize)
    node.replace_input_with(0, quantize.outputs[0])


def _replace(graph: ir.Graph, old: ir.Node, new: ir.Node) -> None:
    before, after = old.outputs[0], new.outputs[0]
    name, after.type, after.shape = before.name, before.type, before.shape
    graph.insert_after(old, new)
    ir.convenience.replace_all_uses_with(before, after, replace_graph_outputs=True)
    graph.remove(old, safe=True)
    after.name = name
