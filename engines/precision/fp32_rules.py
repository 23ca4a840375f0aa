"""Rules for the operators that stay FP32 in an FP16 file, each with its reason.

FP16 has 11 significant bits and a range of ±65504. Convolutions tolerate FP16; the operators below do not. Rules match
the structure of the graph, not names, so that they apply to a single network and to the pipeline. H, W: height and
width of a map.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import onnx_ir as ir

from ...calibration.node_rules import Rule, nodes_by_rule
from ...export.functions import DOMAIN


@dataclass(frozen=True, kw_only=True)
class FunctionRule:
    """FP32 parts of the function `name` in an FP16 file.

    fp32_inputs: inputs that are FP32 at the call. widened: inputs cast to FP32 at the start of the body. narrowed:
    values of the body cast back to the type of the first input.
    """

    name: str
    reason: str
    fp32_inputs: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    narrowed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Fp32Rules:
    """Rules for nodes and for functions. Functions without a rule stay FP32: their bodies may support FP32 only."""

    rules: tuple[Rule, ...]
    functions: tuple[FunctionRule, ...]

    def find(self, graph: ir.Graph) -> dict[ir.Node, str]:
        """Return the nodes that stay FP32 -> name of the first rule that matches."""
        found = nodes_by_rule(graph, self.rules)
        ruled = {rule.name for rule in self.functions}
        for node in graph:
            if node.domain != "" and node.op_type not in ruled:
                found.setdefault(node, "function without a rule")
        return found

    def function(self, node: ir.Node) -> FunctionRule | None:
        """Return the rule for the function that `node` calls; None if it calls none."""
        return next((rule for rule in self.functions if node.domain == DOMAIN and rule.name == node.op_type), None)


def _pixels(graph: ir.Graph) -> set[ir.Node]:
    return _only_from(graph, graph.inputs)


def _flow(graph: ir.Graph) -> set[ir.Node]:
    # Gate scores have two channels, too, and so have 1×1 convolutions on pooled channels: they are excluded.
    heads = {
        node
        for node in graph
        if node.op_type == "Conv"
        and _weight_shape(node)[:1] == [2]
        and _weight_shape(node)[2:] != [1, 1]
        and not any(user.op_type == "AmcCoAttentionGate" for user in node.outputs[0].consumers())
    }
    # RAFT's upsampling multiplies flow by weights from a softmax. Attention's softmax is inside a function.
    weights = {node for node in graph if node.op_type == "Softmax"}
    return heads | weights | _only_from(graph, [node.outputs[0] for node in heads | weights])


def _means_over_maps(graph: ir.Graph) -> set[ir.Node]:
    return {
        node
        for node in graph
        if node.op_type in ("GlobalAveragePool", "InstanceNormalization")
        or (node.op_type == "ReduceMean" and {2, 3} <= set(_axes(node)))
    }


def _ends(graph: ir.Graph) -> set[ir.Node]:
    nodes: set[ir.Node] = set()
    values = list(graph.outputs)
    while values:
        node = values.pop().producer()
        if node is not None and node.op_type in ("Sigmoid", "Resize", "Squeeze"):
            nodes.add(node)
            values += [value for value in node.inputs[:1] if value is not None]
    return nodes


def _only_from(graph: ir.Graph, sources: Collection[ir.Value]) -> set[ir.Node]:
    """Return the nodes that depend on `sources` and constants only, up to the first convolution or function."""
    nodes: set[ir.Node] = set()
    values = set(sources)
    for node in graph:
        variable = {value for value in node.inputs if value is not None and value.const_value is None}
        if variable and variable <= values and node.op_type != "Conv" and node.domain == "":
            nodes.add(node)
            values |= set(node.outputs)
    return nodes


def _weight_shape(node: ir.Node) -> list[int]:
    weight = node.inputs[1]
    if weight is None or weight.shape is None:
        return []
    return [dim if isinstance(dim, int) else -1 for dim in weight.shape]


def _axes(node: ir.Node) -> list[int]:
    """Return the axes, 0 to 3, of a reduction over (B, C, H, W): an attribute in opset 17, an input in opset 18."""
    if "axes" in node.attributes:
        axes = list(node.attributes["axes"].as_ints())
    elif len(node.inputs) > 1 and node.inputs[1] is not None and node.inputs[1].const_value is not None:
        axes = [int(axis) for axis in node.inputs[1].const_value.numpy()]
    else:
        axes = [0, 1, 2, 3]
    return [axis % 4 for axis in axes]


DEFAULT = Fp32Rules(
    rules=(
        Rule(
            name="raw pixels",
            reason="resizing rounds to whole gray levels; above 128, FP16 has a resolution of 1/8 level, which changes "
            "the rounding",
            find=_pixels,
        ),
        Rule(
            name="flow",
            reason="at 100 px, FP16 has a resolution of 1/16 px, and rounding accumulates over the levels of the "
            "pyramid; the colors of the flow image are computed from angles and ratios of the flow",
            find=_flow,
        ),
        Rule(
            name="means over maps",
            reason="a sum of 192·192 values exceeds 65504 at a mean of 1.8; instance norms divide by means",
            find=_means_over_maps,
        ),
        Rule(
            name="ends",
            reason="above 0.5, FP16 probabilities have a resolution of 1/2048; the last maps have one channel, so that "
            "FP32 costs little",
            find=_ends,
        ),
    ),
    functions=(
        FunctionRule(
            name="AmcCoAttention",
            reason="logits are sums over up to 512 channels, and softmax turns their rounding error into a factor",
            widened=("image", "flow"),
            narrowed=("gathered",),
        ),
        FunctionRule(
            name="AmcCoAttentionGate",
            reason="the gate is a mean over up to 192·192 probabilities; the features that it scales stay FP16",
            widened=("score",),
            narrowed=("gate",),
        ),
        FunctionRule(
            name="AmcCorrelation",
            reason="a mean over up to 196 channels: in FP16, small products are lost beside the sum",
            widened=("first", "second"),
            narrowed=("correlation",),
        ),
        FunctionRule(
            name="AmcCorrelationVolumes",
            reason="a sum over up to 256 channels, as in AmcCorrelation; averages of it follow",
            fp32_inputs=("first", "second"),
        ),
        FunctionRule(
            name="AmcCorrelationLookup",
            reason="coordinates: at column 107 of a map at stride 8, FP16 resolves half a pixel of the frame",
            fp32_inputs=("volume0", "volume1", "volume2", "volume3", "coordinates", "offsets"),
        ),
        FunctionRule(
            name="AmcWarp",
            reason="coordinates: at column 896, FP16 has a resolution of 1/2 px; GridSample requires features and "
            "positions of one type",
            fp32_inputs=("flow",),
            widened=("features",),
            narrowed=("warped",),
        ),
    ),
)
