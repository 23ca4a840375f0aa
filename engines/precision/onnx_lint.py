"""Check of ONNX files for constructs that TensorRT rejects or silently interprets differently."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, defs, numpy_helper

from ...export.compare.graph_shapes import GraphShapes
from ...runtime.errors import ModelFileError
from .tensorrt8_operators import OPSET as TENSORRT8_OPSET
from .tensorrt8_operators import unsupported

OPSETS = (17, 18)
# Operators that ONNX defines for int64 and TensorRT's parser does not support for it (onnx-tensorrt 10.x,
# docs/operators.md). It supports Add, Sub, Mul, Div, Mod, Neg, Abs, Min, Max, Pow, comparisons and reductions.
_NOT_FOR_INT64 = {"BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Clip", "CumSum", "Einsum", "Gemm", "MatMul"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A problem: `where` is the node, function or "opset"; `what` is the problem and its fix."""

    where: str
    what: str


def require_buildable(model: Path, *, tensorrt8: bool = False) -> None:
    """Raise ModelFileError with all findings of `lint` if there are any."""
    findings = lint(model, tensorrt8=tensorrt8)
    if findings:
        listed = "".join(f"\n  {finding.where}: {finding.what}" for finding in findings)
        raise ModelFileError(f"{model.name} is not supported by TensorRT:{listed}")


def lint(model: Path, *, tensorrt8: bool = False) -> list[Finding]:
    """Return all findings in a file, function bodies included.

    - a function named like an ONNX operator, in any case: the parser matches names alone and uses the operator
    - an opset other than 17 and 18; GridSample above 18 (NVIDIA/TensorRT#4646: wrong results)
    - a zero point that is not a constant 0; a DequantizeLinear of int32 (a quantized bias)
    - int64 arithmetic on data, in an operator that the parser supports for other types only. Shape computations are
      excluded: what depends on Shape, Size and constants alone is folded in the build.
    - tensorrt8: an operator, or its type, that is not in the table of TensorRT 8.6, and an opset above 17
    """
    graph = GraphShapes.read(model)
    findings = [*_functions(graph), *_opset(graph), *_quantization(graph), *_int64(graph)]
    return [*findings, *_tensorrt8(graph)] if tensorrt8 else findings


def _functions(graph: GraphShapes) -> Iterator[Finding]:
    operators = {schema.name.lower() for schema in defs.get_all_schemas_with_history()}
    for name in graph.functions:
        if name.lower() in operators:
            what = "function named like an ONNX operator, which TensorRT would run instead; rename it"
            yield Finding(where=name, what=what)


def _opset(graph: GraphShapes) -> Iterator[Finding]:
    if graph.opset not in OPSETS:
        yield Finding(where="opset", what=f"got {graph.opset}, expected 17 or 18; export with --opset 17")
    for node in graph.nodes:
        if node.op_type == "GridSample" and graph.opset > max(OPSETS):
            what = f"GridSample of opset {graph.opset} gives wrong results in TensorRT; export with --opset 17"
            yield Finding(where=_name(node), what=what)


def _quantization(graph: GraphShapes) -> Iterator[Finding]:
    constants = dict(graph.constants)
    for node in graph.nodes:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        if node.op_type == "DequantizeLinear" and graph.types.get(node.input[0]) == TensorProto.INT32:
            yield Finding(where=_name(node), what="DequantizeLinear of int32 is not supported; keep biases in FP32")
        zero_point = node.input[2] if len(node.input) > 2 else ""
        if zero_point and zero_point not in constants:
            yield Finding(where=_name(node), what="got a computed zero point, expected a constant 0")
        elif zero_point and np.any(numpy_helper.to_array(constants[zero_point])):
            yield Finding(where=_name(node), what="got a zero point other than 0, expected symmetric quantization")


def _int64(graph: GraphShapes) -> Iterator[Finding]:
    shapes = {"", *graph.constants}  # known in the build
    for node in graph.nodes:
        if node.op_type in ("Shape", "Size") or set(node.input) <= shapes:
            shapes.update(node.output)
        elif node.op_type in _NOT_FOR_INT64 and graph.types.get(node.input[0]) == TensorProto.INT64:
            what = f"{node.op_type} of int64 data is not supported; cast to FP32 or int32 before it"
            yield Finding(where=_name(node), what=what)


def _tensorrt8(graph: GraphShapes) -> Iterator[Finding]:
    if graph.opset > TENSORRT8_OPSET:
        what = f"got {graph.opset}, expected {TENSORRT8_OPSET} for TensorRT 8; export with --opset 17"
        yield Finding(where="opset", what=what)
    for node in graph.nodes:
        what = unsupported(node.op_type, graph.types.get(node.input[0]) if node.input else None)
        if what:
            yield Finding(where=_name(node), what=what)


def _name(node: onnx.NodeProto) -> str:
    return node.name or node.output[0]
