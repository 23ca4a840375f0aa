"""Rewrite ONNX files to the form that the parser of TensorRT 8.6 reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from ...calibration.load_model import fold_stored_weights, inline_functions
from ...export.functions import DOMAIN
from ...runtime.files.atomic import replacing


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
