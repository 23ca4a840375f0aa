"""Guard for FP32 operators in INT8 files, whose weights ONNX Runtime would quantize on its own."""

from __future__ import annotations

from collections import defaultdict

import onnx
from onnx import helper

_PRODUCTS = ("Conv", "ConvTranspose", "Gemm")
_FUSED = ("Clip", "Relu")


def guard_float(model: onnx.ModelProto) -> int:
    """Insert guards into `model`, which has Q/DQ nodes, in place; return their number.

    Since 1.21 (WeightBiasQuantization, microsoft/onnxruntime#22969), ONNX Runtime quantizes FP32 weights between
    DequantizeLinear and [Clip or Relu] QuantizeLinear to INT8, with one scale for the tensor. Channels of depthwise
    convolutions differ too much for that: with two of them kept in FP32, the mask IoU of the bundled network was 0.75
    instead of 0.97. The guard is a `Max` of one value before the operator: a copy that prevents the optimization, and
    that OpenVINO removes.
    """
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            users[name].append(node)
    guarded = [
        node
        for node in graph.node
        if node.op_type in _PRODUCTS
        and _is(producers.get(node.input[0]), "DequantizeLinear")
        and not _is(producers.get(node.input[1]), "DequantizeLinear")
        and _is(_single_user(node, users), "QuantizeLinear")
    ]
    for node in guarded:
        copy = f"{node.output[0]}/fp32"
        graph.node.insert(list(graph.node).index(node), helper.make_node("Max", [node.input[0]], [copy], name=copy))
        node.input[0] = copy
    return len(guarded)


def _single_user(node: onnx.NodeProto, users: dict[str, list[onnx.NodeProto]]) -> onnx.NodeProto | None:
    """Return the only user of the result of `node`, activations skipped; None if there are several or none."""
    while len(users[node.output[0]]) == 1:
        node = users[node.output[0]][0]
        if node.op_type not in _FUSED:
            return node
    return None


def _is(node: onnx.NodeProto | None, op_type: str) -> bool:
    return node is not None and node.op_type == op_type
