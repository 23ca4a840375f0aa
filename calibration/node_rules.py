"""Rules that keep nodes of a graph in FP32, for quantization and for conversion to FP16."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`find` returns the nodes of a graph that stay FP32, for the stated `reason`."""

    name: str
    reason: str
    find: Callable[[ir.Graph], set[ir.Node]]


def nodes_by_rule(graph: ir.Graph, rules: Iterable[Rule]) -> dict[ir.Node, str]:
    """Return the nodes of `graph` that stay FP32 -> name of the first rule that matches."""
    found: dict[ir.Node, str] = {}
    for rule in rules:
        for node in rule.find(graph):
            found.setdefault(node, rule.name)
    return found
