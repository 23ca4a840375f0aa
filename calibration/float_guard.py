"""Keeps in float what was left so: ONNX Runtime would quantize a convolution between two int8 tensors by itself."""

from __future__ import annotations

from collections import defaultdict

import onnx
from onnx import helper

_PRODUCTS = ("Conv", "ConvTranspose", "Gemm")
_FUSED = ("Clip", "Relu")


def guard_float(model: onnx.ModelProto) -> int:
    """Change `model`, with Q/DQ nodes, so that ONNX Runtime leaves its float products alone; how many needed it.

    ONNX Runtime, since 1.21 (WeightBiasQuantization, microsoft/onnxruntime#22969), takes float weights between
    DequantizeLinear and [Clip or Relu] QuantizeLinear for forgotten ones and rounds them to int8, with one scale for
    all of them. The channels of a depthwise convolution are too different for that: with two of them left in float the
    masks of the light network fell from an IoU of 0.97 to 0.75. A `Max` of one value, before the product, is a copy
    that no library's optimization looks through, and OpenVINO drops it.
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
        and _is(_behind(node, users), "QuantizeLinear")
    ]
    for node in guarded:
        copy = f"{node.output[0]}/in_float"
        graph.node.insert(list(graph.node).index(node), helper.make_node("Max", [node.input[0]], [copy], name=copy))
        node.input[0] = copy
    return len(guarded)


def _behind(node: onnx.NodeProto, users: dict[str, list[onnx.NodeProto]]) -> onnx.NodeProto | None:
    """The only user of what `node` gives, past activations; None if there are several or none."""
    while len(users[node.output[0]]) == 1:
        node = users[node.output[0]][0]
        if node.op_type not in _FUSED:
            return node
    return None


def _is(node: onnx.NodeProto | None, op_type: str) -> bool:
    return node is not None and node.op_type == op_type
