"""What TensorRT-RTX wants otherwise for SM 7.5, where it multiplies no matrices in float: halves, or convolutions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx_ir as ir

from ...export.functions import DOMAIN
from ...runtime.files.atomic import replacing
from ...runtime.files.onnx_file import PRECISION
from .fp32_rules import DEFAULT, Fp32Rules

_PRODUCTS = ("AmcCoAttention", "AmcCorrelation")  # the functions of ours that multiply matrices

# Attention and correlation in half as well. The GPU's products of halves are summed in float all the same; what is lost
# is the rounding of what goes in.
FP32_RULES: Fp32Rules = replace(
    DEFAULT,
    functions=tuple(
        replace(rule, widened=(), narrowed=()) if rule.name in _PRODUCTS else rule for rule in DEFAULT.functions
    ),
)


def without_float_products(source: Path, target: Path) -> None:
    """Write `target`: `source`, in half by `FP32_RULES` or in int8, without matrix products in float.

    Attention and correlation of an int8 file are cast to half and back. A product of a map (B, C, H, W) and a constant
    matrix becomes a 1×1 convolution in float: the pipeline resizes by such, raw pixels, which half would round. Raises
    OutputError.
    """
    model = ir.load(source)
    for node in list(model.graph):
        if node.domain == DOMAIN and node.op_type in _PRODUCTS and model.metadata_props[PRECISION] == "int8":
            _call_in_half(model.graph, node)
        if node.op_type != "MatMul" or node.domain or node.outputs[0].dtype == ir.DataType.FLOAT16:
            continue
        first, second = node.inputs
        assert first is not None
        assert second is not None
        if second.is_initializer():  # along W: W takes the place of the channels
            _as_convolution(model.graph, node, first, second, transposed=True, before=(0, 3, 1, 2), behind=(0, 2, 3, 1))
        elif first.is_initializer():  # along H
            _as_convolution(
                model.graph, node, second, first, transposed=False, before=(0, 2, 1, 3), behind=(0, 2, 1, 3)
            )
    for name in [name for name, value in model.graph.initializers.items() if not value.uses()]:
        del model.graph.initializers[name]
    with replacing(target) as temporary:
        ir.save(model, temporary)


def _call_in_half(graph: ir.Graph, call: ir.Node) -> None:
    """Cast what a function takes to half, and what it gives back to float."""
    for index, value in enumerate(call.inputs):
        cast = ir.node("Cast", [value], attributes={"to": ir.DataType.FLOAT16}, name=f"{call.name}/half_{index}")
        cast.outputs[0].name, cast.outputs[0].dtype = f"{cast.name}_0", ir.DataType.FLOAT16
        graph.insert_before(call, cast)
        call.replace_input_with(index, cast.outputs[0])
    for value in call.outputs:
        cast = ir.node("Cast", [value], attributes={"to": ir.DataType.FLOAT}, name=f"{call.name}/float")
        wide = cast.outputs[0]
        wide.dtype, wide.shape, value.dtype = ir.DataType.FLOAT, value.shape, ir.DataType.FLOAT16
        for user, index in list(value.uses()):
            if user is not cast:
                user.replace_input_with(index, wide)
        graph.insert_after(call, cast)
        value.name, wide.name = f"{value.name}/half", value.name


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
    """Put Conv, its weights `matrix` as (out, in, 1, 1), between transpositions `before` and `behind` it."""
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
