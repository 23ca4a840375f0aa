"""Number of multiply-adds of a convolution or matrix product, from the shapes of its operands."""

from __future__ import annotations

import math
from collections.abc import Sequence

PRODUCTS = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def multiply_adds(
    op_type: str, first: Sequence[int], second: Sequence[int], result: Sequence[int], *, transposed: bool = False
) -> int:
    """Count the multiply-adds of an operator in `PRODUCTS` from the shapes of its operands and its result.

    transposed: whether a Gemm transposes its first operand (transA).
    """
    if op_type == "Conv":  # weights (out, in / groups, kh, kw): each output sums over one filter
        return math.prod(result) * math.prod(second[1:])
    if op_type == "ConvTranspose":  # weights (in, out / groups, kh, kw): each input is spread by one filter
        return math.prod(first) * math.prod(second[1:])
    return math.prod(result) * first[-2 if transposed else -1]
