"""Which parts of a network stay in float32 when the rest computes in float16, each with its reason.

Half has 11 significant bits and ends at 65504. Convolutions are at ease with that; what follows is not. Rules go by the
form of the graph, not by names, so that they hold for a network alone and inside the pipeline. H, W: a map's height
and width.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import onnx_ir as ir

from ...export.functions import DOMAIN
from ...export.node_rules import Rule, nodes_by_rule


@dataclass(frozen=True, kw_only=True)
class FunctionRule:
    """How the function `name` takes half tensors: what is float32 at the call and inside the body.

    `full`: inputs that are float32 at the call already. `widened`: inputs cast to float32 where the body begins.
    `narrowed`: values of the body cast back, to the type of the first input.
    """

    name: str
    reason: str
    full: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    narrowed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Fp32Rules:
    """All rules. A function without a rule is an region as a whole: its body may know of float32 only."""

    rules: tuple[Rule, ...]
    functions: tuple[FunctionRule, ...]

    def find(self, graph: ir.Graph) -> dict[ir.Node, str]:
        """The nodes that stay in float32 -> the name of the first rule that says so."""
        found = nodes_by_rule(graph, self.rules)
        ruled = {rule.name for rule in self.functions}
        for node in graph:
            if node.domain != "" and node.op_type not in ruled:
                found.setdefault(node, "function without a rule")
        return found

    def function(self, node: ir.Node) -> FunctionRule | None:
        """The rule for the function that `node` calls, if it calls one."""
        return next((rule for rule in self.functions if node.domain == DOMAIN and rule.name == node.op_type), None)


def _pixels(graph: ir.Graph) -> set[ir.Node]:
    return _only_from(graph, graph.inputs)


def _flow(graph: ir.Graph) -> set[ir.Node]:
    # A gate's score has two channels as well, and so has a perceptron on pooled channels, which is 1×1.
    heads = {
        node
        for node in graph
        if node.op_type == "Conv"
        and _weight_shape(node)[:1] == [2]
        and _weight_shape(node)[2:] != [1, 1]
        and not any(user.op_type == "AmcCoAttentionGate" for user in node.outputs[0].consumers())
    }
    return heads | _only_from(graph, [node.outputs[0] for node in heads])


def _means_over_maps(graph: ir.Graph) -> set[ir.Node]:
    return {
        node
        for node in graph
        if node.op_type == "GlobalAveragePool" or (node.op_type == "ReduceMean" and {2, 3} <= set(_axes(node)))
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
    """The nodes that compute from `sources` and constants alone, up to where a convolution or function takes over."""
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
    """The axes, 0 to 3, of a reduction over (B, C, H, W): an attribute in opset 17, an input in 18."""
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
            reason="resizing rounds to whole gray levels, and above 128 half has eighths of a level: another rounding "
            "is another picture",
            find=_pixels,
        ),
        Rule(
            name="flow",
            reason="at 100 px half steps by 1/16 px, and each level of the pyramid adds to the last one's rounding; "
            "the colors of the flow picture come from angles and quotients of it",
            find=_flow,
        ),
        Rule(
            name="means over maps",
            reason="a sum of up to 192·192 values passes 65504 when they average 1.8",
            find=_means_over_maps,
        ),
        Rule(
            name="ends",
            reason="above a half, probabilities in half come in steps of 1/2048; the last maps have one channel and "
            "cost nothing",
            find=_ends,
        ),
    ),
    functions=(
        FunctionRule(
            name="AmcCoAttention",
            reason="logits are sums over up to 512 channels, and softmax turns their rounding into a factor",
            widened=("image", "flow"),
            narrowed=("gathered",),
        ),
        FunctionRule(
            name="AmcCoAttentionGate",
            reason="the gate is a mean over up to 192·192 probabilities; the features it scales stay half",
            widened=("score",),
            narrowed=("gate",),
        ),
        FunctionRule(
            name="AmcCorrelation",
            reason="a mean over up to 196 channels: summed in half, small products vanish beside the sum",
            widened=("first", "second"),
            narrowed=("correlation",),
        ),
        FunctionRule(
            name="AmcWarp",
            reason="coordinates: of 896 columns half tells only halves of a pixel apart; GridSample wants features and "
            "positions of one type",
            full=("flow",),
            widened=("features",),
            narrowed=("warped",),
        ),
    ),
)
