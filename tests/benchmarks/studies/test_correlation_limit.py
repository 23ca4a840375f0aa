"""The zero-cost correlation has the right shape and leaves the rest of the network as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import parser

from amcnet.benchmarks.latency.graph_cost import graph_cost
from amcnet.benchmarks.studies.correlation_limit import FREE_CORRELATION, correlation_limit
from amcnet.export import Exported


@pytest.mark.slow
def test_a_free_correlation_saves_its_products_and_nothing_else(
    exported: Callable[[str], Exported], tmp_path: Path
) -> None:
    ours = exported("pwcnet").file.path
    model = onnx.load(ours)
    next(f for f in model.functions if f.name == "AmcCorrelation").CopyFrom(parser.parse_function(FREE_CORRELATION))
    onnx.save(model, tmp_path / "free.onnx")
    full, free = (
        {group: sum(layer.flops for layer in cost.layers if layer.kind != "MatMul") for group, cost in found.items()}
        for found in (graph_cost(path).groups() for path in (ours, tmp_path / "free.onnx"))
    )
    assert {group: flops for group, flops in full.items() if flops} == {g: flops for g, flops in free.items() if flops}
    assert not any(layer.kind == "MatMul" for layer in graph_cost(tmp_path / "free.onnx").layers)
    assert any(layer.kind == "MatMul" for layer in graph_cost(ours).layers)
    found = correlation_limit((128, 64), "cpu", rounds=2)
    assert set(found) == {"fp32"}
    assert 0 < found["fp32"]["ratio_min"] <= found["fp32"]["ratio"] <= found["fp32"]["ratio_max"]
    assert found["fp32"]["free_ms"] > 0
