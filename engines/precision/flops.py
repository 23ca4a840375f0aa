"""How much of a network's arithmetic is in half: the share of the FLOPs of convolutions and matrix products."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from onnx import TensorProto

from ...export.compare.graph_shapes import GraphShapes
from ...export.multiply_adds import PRODUCTS
from ...runtime.errors import ModelFileError


def half_share(model: Path) -> float:
    """The FLOPs of Conv, ConvTranspose, MatMul and Gemm on float16 by those of all, function bodies included; 0 to 1.

    Raises ModelFileError as `product_flops`, and if there are no such operators.
    """
    flops = product_flops(model)
    if not flops.total():
        raise ModelFileError(f"{model} has no convolution and no matrix product; expected a network")
    return flops["FLOAT16"] / flops.total()


def product_flops(model: Path) -> Counter[str]:
    """FLOPs of convolutions and matrix products by the type of their inputs: {"FLOAT16": 9e9, "FLOAT": 1e8}.

    A multiplication and an addition are 2 FLOPs. A free batch dimension counts as 1. Raises ModelFileError if a shape
    cannot be inferred.
    """
    graph_shapes = GraphShapes.read(model)
    flops: Counter[str] = Counter()
    for node in graph_shapes.nodes:
        if node.op_type in PRODUCTS:
            work = graph_shapes.multiply_adds(node)
            if work is None:
                raise ModelFileError(f"the shapes around {node.name or node.output[0]!r} in {model} cannot be inferred")
            flops[TensorProto.DataType.Name(graph_shapes.types[node.input[0]])] += 2 * work
    return flops
