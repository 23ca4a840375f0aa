"""Rules that keep nodes of a graph in float32, each with its reason: for FP16 conversion and for quantization."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`find` gives the nodes of a graph that compute in float32; `reason` says why."""

    name: str
    reason: str
    find: Callable[[ir.Graph], set[ir.Node]]


def nodes_by_rule(graph: ir.Graph, rules: Iterable[Rule]) -> dict[ir.Node, str]:
    """The nodes of `graph` that a rule keeps in float32 -> the name of the first rule that does."""
    found: dict[ir.Node, str] = {}
    for rule in rules:
        for node in rule.find(graph):
            found.setdefault(node, rule.name)
    return found
