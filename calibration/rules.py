"""Which nodes are never quantized, each rule with its reason.

8 bits are 256 steps from a tensor's least to its greatest value. Rules go by the form of the graph, not by names, so
that they hold for a network alone and inside the pipeline.
"""

from __future__ import annotations

import onnx_ir as ir

from ..export.node_rules import Rule, nodes_by_rule


def left_in_float(graph: ir.Graph) -> dict[ir.Node, str]:
    """The nodes of `graph` that some rule keeps in float -> the name of the first that does."""
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
    """The nodes that `value` comes from, back to and with the first of the `stop` operators on each way."""
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
    """The size of `value` (B, C, H, W) along `axis`, None where that is not known or there are other axes."""
    if value.shape is None or len(value.shape) != 4:
        return None
    size = value.shape[axis]
    return size if isinstance(size, int) else None


RULES = (
    Rule(
        name="products of features",
        reason="correlation and co-attention logits: both factors would be rounded, and softmax and the choice of the "
        "best match turn the error of a logit into a factor",
        find=_products,
    ),
    Rule(
        name="warp",
        reason="positions: 8 bits tell 256 places of a row apart, a flow wants a tenth of a pixel",
        find=_warp,
    ),
    Rule(
        name="two channels",
        reason="flow heads, whose steps would be whole pixels, and gate scores, which scale a whole map: both cost "
        "nothing beside the layers before them",
        find=_two_channels,
    ),
    Rule(
        name="one channel",
        reason="attention maps and the mask: one map that scales or decides every pixel, and whose probabilities "
        "saturate",
        find=_one_channel,
    ),
    Rule(
        name="pooled",
        reason="one value a channel: it costs nothing, and scales the whole channel",
        find=_pooled,
    ),
    Rule(
        name="ends",
        reason="the last layer and what follows it decide at 0.5 where the mask's edge runs",
        find=_ends,
    ),
)
