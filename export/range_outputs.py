"""More outputs for a graph: the least and the greatest value of each of its float tensors, taken inside the graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

_PREFIX = "amcnet."


def add_range_outputs(graph: ir.Graph) -> list[ir.Value]:
    """Add the outputs "low" and "high" of each float32 tensor of `graph`; the tensors, in the order of their numbers.

    A tensor is reduced right behind the node that makes it, so that it can be freed at once: memory does not grow with
    the number of tensors if the nodes run in the order of the file. "high" is NaN where a value is not finite: ONNX
    Runtime's maximum ignores NaN, zero times the sum does not.
    """
    values = [*graph.inputs, *(value for node in graph for value in node.outputs)]
    values = [value for value in values if value.dtype == ir.DataType.FLOAT]
    zero = ir.Value(name=f"{_PREFIX}zero", const_value=ir.tensor(np.float32(0)))
    graph.register_initializer(zero)
    for index, value in enumerate(values):
        low = ir.node("ReduceMin", [value], attributes={"keepdims": 0})
        highest = ir.node("ReduceMax", [value], attributes={"keepdims": 0})
        total = ir.node("ReduceSum", [value], attributes={"keepdims": 0})
        nothing = ir.node("Mul", [total.outputs[0], zero])
        high = ir.node("Add", [highest.outputs[0], nothing.outputs[0]])
        add_output(graph, value, [low], range_output("low", index), ir.Shape([]))
        add_output(graph, value, [highest, total, nothing, high], range_output("high", index), ir.Shape([]))
    return values


def range_output(kind: str, index: int) -> str:
    """The name of the output `kind` ("low", "high") of the tensor with this number."""
    return f"{_PREFIX}{kind}.{index}"


def add_output(graph: ir.Graph, value: ir.Value, nodes: Sequence[ir.Node], name: str, shape: ir.Shape) -> None:
    """Insert `nodes`, which compute from `value`, behind its producer; the last one gives the float32 output `name`."""
    for number, node in enumerate(nodes):
        node.name = node.outputs[0].name = f"{name}/{number}.{node.op_type}"
    producer = value.producer()
    if producer is None:
        graph.insert_before(graph[0], nodes)
    else:
        graph.insert_after(producer, nodes)
    output = nodes[-1].outputs[0]
    output.name, output.dtype, output.shape = name, ir.DataType.FLOAT, shape
    graph.outputs.append(output)
