"""FP32 matrix products replaced for SM 7.5, where TensorRT-RTX supports none: by FP16 products or convolutions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx_ir as ir

from ...export.functions import DOMAIN
from ...runtime.files.atomic import replacing
from ...runtime.files.onnx_file import PRECISION
from .fp32_rules import DEFAULT, Fp32Rules

_PRODUCTS = ("AmcCoAttention", "AmcCorrelation", "AmcCorrelationVolumes")  # custom operators that multiply matrices

# Attention and correlation in FP16, too. The GPU accumulates FP16 products in FP32; only the operands are rounded.
RULES: Fp32Rules = replace(
    DEFAULT,
    functions=tuple(
        replace(rule, fp32_inputs=(), widened=(), narrowed=()) if rule.name in _PRODUCTS else rule
        for rule in DEFAULT.functions
    ),
)


def replace_fp32_products(source: Path, target: Path) -> None:
    """Write `target`: `source`, which is FP16 by `RULES` or INT8, without FP32 matrix products.

    In an INT8 file, casts around attention and correlation make them FP16. A product of a map (B, C, H, W) and a
    constant matrix becomes an FP32 1×1 convolution: the pipeline resizes raw pixels that way, which FP16 would round.
    Raises OutputError.
    """
    model = ir.load(source)
    for node in list(model.graph):
        if node.domain == DOMAIN and node.op_type in _PRODUCTS and model.metadata_props[PRECISION] == "int8":
            _call_in_fp16(model.graph, node)
        if node.op_type != "MatMul" or node.domain or node.outputs[0].dtype == ir.DataType.FLOAT16:
            continue
        first, second = node.inputs
        assert first is not None
        assert second is not None
        if second.is_initializer():  # along W, which takes the place of the channels
            _as_convolution(model.graph, node, first, second, transposed=True, before=(0, 3, 1, 2), behind=(0, 2, 3, 1))
        elif first.is_initializer():  # along H
            _as_convolution(
                model.graph, node, second, first, transposed=False, before=(0, 2, 1, 3), behind=(0, 2, 1, 3)
            )
    for name in [name for name, value in model.graph.initializers.items() if not value.uses()]:
        del model.graph.initializers[name]
    with replacing(target) as temporary:
        ir.save(model, temporary)


def _call_in_fp16(graph: ir.Graph, call: ir.Node) -> None:
    """Cast the inputs of a function call to FP16, and its outputs back to FP32."""
    for index, value in enumerate(call.inputs):
        cast = ir.node("Cast", [value], attributes={"to": ir.DataType.FLOAT16}, name=f"{call.name}/fp16_{index}")
        cast.outputs[0].name, cast.outputs[0].dtype = f"{cast.name}_0", ir.DataType.FLOAT16
        graph.insert_before(call, cast)
        call.replace_input_with(index, cast.outputs[0])
    for value in call.outputs:
        cast = ir.node("Cast", [value], attributes={"to": ir.DataType.FLOAT}, name=f"{call.name}/fp32")
        wide = cast.outputs[0]
        wide.dtype, wide.shape, value.dtype = ir.DataType.FLOAT, value.shape, ir.DataType.FLOAT16
        for user, index in list(value.uses()):
            if user is not cast:
                user.replace_input_with(index, wide)
        graph.insert_after(call, cast)
        value.name, wide.name = f"{value.name}/fp16", value.name


def _as_convolution(
    graph: ir.Graph,
    product: ir.Node,
    maps: ir.Value,
    matrix: ir.Value,
    *,
    transposed: bool,
    before: tuple[int, ...],
    behind: tuple[int, ...],
) -> None:
    """Replace `product` by a Conv with the weights `matrix` (out, in, 1, 1), between two transpositions."""
    assert matrix.const_value is not None
    name = product.outputs[0].name
    weights = matrix.const_value.numpy()
    weights = (weights.T if transposed else weights)[:, :, None, None].copy()
    kernel = ir.Value(name=f"{name}/kernel", const_value=ir.tensor(weights))
    kernel.dtype, kernel.shape = ir.DataType.FLOAT, ir.Shape(weights.shape)
    graph.register_initializer(kernel)
    to = ir.node("Transpose", [maps], attributes={"perm": before}, name=f"{name}/before")
    convolution = ir.node("Conv", [to.outputs[0], kernel], name=f"{name}/Conv")
    back = ir.node("Transpose", convolution.outputs, attributes={"perm": behind}, name=f"{name}/behind")
    for node in (to, convolution, back):
        node.outputs[0].name, node.outputs[0].dtype = f"{node.name}_0", ir.DataType.FLOAT
    graph.insert_after(product, [to, convolution, back])
    back.outputs[0].shape = product.outputs[0].shape
    ir.convenience.replace_all_uses_with(product.outputs[0], back.outputs[0], replace_graph_outputs=True)
    graph.remove(product, safe=True)
    back.outputs[0].name = name
