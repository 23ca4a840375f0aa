"""How much of a network's arithmetic is in half: the share of the FLOPs of convolutions and matrix products."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import onnx
from onnx import TensorProto

from .. import ModelFileError
from .skeleton import Skeleton

PRODUCTS = ("Conv", "ConvTranspose", "MatMul", "Gemm")


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
    skeleton = Skeleton.read(model)
    flops: Counter[str] = Counter()
    for node in skeleton.nodes:
        if node.op_type in PRODUCTS:
            names = [*node.input[:2], node.output[0]]
            if any(name not in skeleton.dims for name in names):
                raise ModelFileError(f"the shapes around {node.name or node.output[0]!r} in {model} cannot be inferred")
            first, second, result = (skeleton.dims[name] for name in names)
            flops[TensorProto.DataType.Name(skeleton.types[node.input[0]])] += 2 * macs(node, first, second, result)
    return flops


def macs(node: onnx.NodeProto, first: tuple[int, ...], second: tuple[int, ...], result: tuple[int, ...]) -> int:
    """The multiplications of a convolution or matrix product, from the shapes of its two operands and its result."""
    if node.op_type == "Conv":  # weights (out, in / groups, kh, kw): each output sums over one filter
        return math.prod(result) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":  # weights (in, out / groups, kh, kw): each input is spread by one filter
        return math.prod(first) * math.prod(second[1:])
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(result) * first[-2 if transposed else -1]
