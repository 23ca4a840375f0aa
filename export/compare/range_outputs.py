"""Graph outputs for the minimum and maximum of each FP32 tensor, computed inside the graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

_PREFIX = "amcnet."


def add_range_outputs(graph: ir.Graph) -> list[ir.Value]:
    """Add the outputs "low" and "high" of each FP32 tensor to `graph`; return the tensors in the order of their index.

    Each tensor is reduced directly after the node that produces it, and can be freed then: with nodes executed in file
    order, memory does not grow with the number of tensors. "high" is NaN for a tensor with a non-finite value, because
    0 * sum is added to it: ReduceMax of ONNX Runtime ignores NaN.
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
    """Return the name of the output `kind` ("low", "high") of the tensor at `index`."""
    return f"{_PREFIX}{kind}.{index}"


def add_output(graph: ir.Graph, value: ir.Value, nodes: Sequence[ir.Node], name: str, shape: ir.Shape) -> None:
    """Insert `nodes`, which use `value`, after its producer; the last one computes the new FP32 output `name`."""
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
