"""Rules for the nodes that are never quantized, each with its reason.

INT8 has 256 steps from the minimum to the maximum of a tensor. Rules match the structure of the graph, not names, so
that they apply to a single network and to the pipeline.
"""

from __future__ import annotations

import onnx_ir as ir

from .node_rules import Rule, nodes_by_rule


def fp32_nodes(graph: ir.Graph) -> dict[ir.Node, str]:
    """Return the nodes of `graph` that stay FP32 -> name of the first rule that matches."""
    return nodes_by_rule(graph, RULES)


def _products(graph: ir.Graph) -> set[ir.Node]:
    return {
        node
        for node in graph
        if node.op_type in ("MatMul", "Gemm")
        and all(value is None or value.const_value is None for value in node.inputs)
    }


def _warp(graph: ir.Graph) -> set[ir.Node]:
    nodes: set[ir.Node] = set()
    for node in graph:
        if node.op_type == "GridSample" and node.inputs[1] is not None:
            nodes |= {node, *_before(node.inputs[1], stop=("Conv", "ConvTranspose"))}
    return nodes


def _two_channels(graph: ir.Graph) -> set[ir.Node]:
    return {node for node in graph if node.op_type in ("Conv", "ConvTranspose") and _dim(node.outputs[0], 1) == 2}


def _pooled(graph: ir.Graph) -> set[ir.Node]:
    return {node for node in graph if _dim(node.outputs[0], 2) == _dim(node.outputs[0], 3) == 1}


def _ends(graph: ir.Graph) -> set[ir.Node]:
    return {node for output in graph.outputs for node in _before(output, stop=("Conv",))}


def _one_channel(graph: ir.Graph) -> set[ir.Node]:
    maps = {node for node in graph if node.op_type == "Conv" and _dim(node.outputs[0], 1) == 1}
    return maps | {node for node in graph if node.op_type == "Sigmoid"}


def _before(value: ir.Value, stop: tuple[str, ...]) -> set[ir.Node]:
    """Return the nodes that compute `value`, up to and including the first `stop` operator on each path."""
    nodes: set[ir.Node] = set()
    values = [value]
    while values:
        node = values.pop().producer()
        if node is not None and node not in nodes:
            nodes.add(node)
            if node.op_type not in stop:
                values += [value for value in node.inputs if value is not None]
    return nodes


def _dim(value: ir.Value, axis: int) -> int | None:
    """Return the size of `value` (B, C, H, W) along `axis`; None if it is unknown or `value` is not 4-D."""
    if value.shape is None or len(value.shape) != 4:
        return None
    size = value.shape[axis]
    return size if isinstance(size, int) else None


RULES = (
    Rule(
        name="products of features",
        reason="correlation and co-attention logits: both operands would be rounded, and softmax turns the error of a "
        "logit into a factor",
        find=_products,
    ),
    Rule(
        name="warp",
        reason="positions: INT8 has 256 positions in a row, and flow needs a resolution of 0.1 px",
        find=_warp,
    ),
    Rule(
        name="two channels",
        reason="flow heads, whose steps would be whole pixels, and gate scores, which scale a whole map; their cost is "
        "negligible",
        find=_two_channels,
    ),
    Rule(
        name="one channel",
        reason="attention maps and the mask: one map that affects every pixel, with saturating probabilities",
        find=_one_channel,
    ),
    Rule(
        name="pooled",
        reason="one value for each channel, which scales the whole channel; its cost is negligible",
        find=_pooled,
    ),
    Rule(
        name="ends",
        reason="the last layer and the operators after it define the edge of the mask, at 0.5",
        find=_ends,
    ),
)
