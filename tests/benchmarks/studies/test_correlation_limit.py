"""The zero-cost correlation and lookup have the right shape and leave the rest of the network as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from amcnet.benchmarks.latency.graph_cost import graph_cost
from amcnet.benchmarks.studies import correlation_limit as study
from amcnet.benchmarks.studies.correlation_limit import SUBJECTS, correlation_limit, with_free
from amcnet.export import Exported


def _copied(path: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / path.name).write_bytes(path.read_bytes())
    return folder / path.name


@pytest.mark.slow
def test_a_free_correlation_saves_its_products_and_nothing_else(
    exported: Callable[[str], Exported], tmp_path: Path
) -> None:
    ours = _copied(exported("pwcnet").file.path, tmp_path)
    free_path = with_free(ours, SUBJECTS["PWC-Net"].free_function)
    full, free = (
        {group: sum(layer.flops for layer in cost.layers if layer.kind != "MatMul") for group, cost in found.items()}
        for found in (graph_cost(path).groups() for path in (ours, free_path))
    )
    assert {group: flops for group, flops in full.items() if flops} == {g: flops for g, flops in free.items() if flops}
    assert not any(layer.kind == "MatMul" for layer in graph_cost(free_path).layers)
    assert any(layer.kind == "MatMul" for layer in graph_cost(ours).layers)


@pytest.mark.slow
def test_a_free_lookup_keeps_the_volumes(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    ours = _copied(exported("raft").file.path, tmp_path)
    free = with_free(ours, SUBJECTS["RAFT small"].free_function)
    products = [[layer.flops for layer in graph_cost(path).layers if layer.kind == "MatMul"] for path in (ours, free)]
    assert products[0] == products[1] != []
    session = onnxruntime.InferenceSession(free, providers=["CPUExecutionProvider"])
    frames = np.random.default_rng(0).random((2, 1, 3, 75, 101), dtype=np.float32)
    (flow,) = session.run(None, {"frame": frames[0], "next_frame": frames[1]})
    assert flow.shape == (1, 2, 75, 101)
    assert not {"GatherElements"} & {layer.kind for layer in graph_cost(free).layers}


@pytest.mark.slow
@pytest.mark.parametrize(("network", "size"), [("PWC-Net", (128, 64)), ("RAFT large", (64, 64))])
def test_both_forms_are_timed(network: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    if SUBJECTS[network].iterations:
        monkeypatch.setitem(study.SUBJECTS, network, replace(SUBJECTS[network], iterations=1))
    found = correlation_limit(network, size, "cpu", rounds=2)
    assert set(found) == {"fp32"}
    assert 0 < found["fp32"]["ratio_min"] <= found["fp32"]["ratio"] <= found["fp32"]["ratio_max"]
    assert found["fp32"]["free_ms"] > 0
