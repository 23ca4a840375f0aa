"""What TensorRT would refuse in an ONNX file, or worse, take for something else: found before it is asked to build."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, defs, numpy_helper

from ...export.compare.graph_shapes import GraphShapes

OPSETS = (17, 18)
# Arithmetic that ONNX has for int64 and TensorRT's parser (docs/operators.md of onnx-tensorrt for 10.x) does not. It
# takes Add, Sub, Mul, Div, Mod, Neg, Abs, Min, Max, Pow, comparisons and reductions.
_NOT_FOR_INT64 = {"BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Clip", "CumSum", "Einsum", "Gemm", "MatMul"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing wrong: `where` is the node, function or "opset"; `what` says what it is and what to do."""

    where: str
    what: str


def lint(model: Path) -> list[Finding]:
    """All findings in a file, function bodies included; none for files that export-onnx and `convert_to_fp16` write.

    - a function named like an ONNX operator, in any case: the parser goes by the name alone and takes the operator
    - an opset other than 17 and 18; GridSample above 18 (NVIDIA/TensorRT#4646: wrong results)
    - a zero point that is not a constant 0; a DequantizeLinear of int32 (a quantized bias)
    - int64 arithmetic on data, in an operator that the parser has for other types only. Shape computations are not
      meant: what follows from Shape, Size and constants alone is folded when the engine is built.
    """
    graph_shapes = GraphShapes.read(model)
    return [*_functions(graph_shapes), *_opset(graph_shapes), *_quantization(graph_shapes), *_int64(graph_shapes)]


def _functions(graph_shapes: GraphShapes) -> Iterator[Finding]:
    operators = {schema.name.lower() for schema in defs.get_all_schemas_with_history()}
    for name in graph_shapes.functions:
        if name.lower() in operators:
            what = "a function named like an ONNX operator: TensorRT would run the operator; give it another name"
            yield Finding(where=name, what=what)


def _opset(graph_shapes: GraphShapes) -> Iterator[Finding]:
    if graph_shapes.opset not in OPSETS:
        yield Finding(where="opset", what=f"it is {graph_shapes.opset}; expected 17 or 18: export with --opset 17")
    for node in graph_shapes.nodes:
        if node.op_type == "GridSample" and graph_shapes.opset > max(OPSETS):
            what = f"GridSample of opset {graph_shapes.opset} gives wrong results in TensorRT; export with --opset 17"
            yield Finding(where=_name(node), what=what)


def _quantization(graph_shapes: GraphShapes) -> Iterator[Finding]:
    constants = dict(graph_shapes.constants)
    for node in graph_shapes.nodes:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        if node.op_type == "DequantizeLinear" and graph_shapes.types.get(node.input[0]) == TensorProto.INT32:
            yield Finding(where=_name(node), what="DequantizeLinear of int32 is not in TensorRT; keep biases in float")
        zero_point = node.input[2] if len(node.input) > 2 else ""
        if zero_point and zero_point not in constants:
            yield Finding(where=_name(node), what="its zero point is computed; TensorRT wants a constant 0")
        elif zero_point and np.any(numpy_helper.to_array(constants[zero_point])):
            yield Finding(where=_name(node), what="its zero point is not 0; TensorRT quantizes symmetrically only")


def _int64(graph_shapes: GraphShapes) -> Iterator[Finding]:
    shapes = {"", *graph_shapes.constants}  # known when the engine is built
    for node in graph_shapes.nodes:
        if node.op_type in ("Shape", "Size") or set(node.input) <= shapes:
            shapes.update(node.output)
        elif node.op_type in _NOT_FOR_INT64 and graph_shapes.types.get(node.input[0]) == TensorProto.INT64:
            what = f"{node.op_type} of int64 data is not in TensorRT; cast to float or int32 before it"
            yield Finding(where=_name(node), what=what)


def _name(node: onnx.NodeProto) -> str:
    return node.name or node.output[0]
