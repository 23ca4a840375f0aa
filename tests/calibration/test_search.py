"""The search for layers to keep in FP32: most sensitive first, the fewest, and continued after an interrupt."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from amcnet.calibration import CalibrationTable, calibrate_on_batches
from amcnet.calibration.search import search
from amcnet.runtime.errors import ModelFileError

# What each of these layers of the chain costs in int8; the others cost nothing.
HARM = {"4": 0.05, "0": 0.03, "3": 0.01}


@pytest.fixture(scope="module")
def table(chain_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> CalibrationTable:
    inputs = {"0": np.ones((1, 4, 16, 16), np.float32), "flow_image": np.zeros((1, 1, 16, 16), np.float32)}
    return calibrate_on_batches(
        chain_onnx, tmp_path_factory.mktemp("search") / "x.onnx", [inputs], target="tensorrt"
    ).table


def _fidelity(path: Path) -> float:
    graph = onnx.load(path).graph
    dequantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    int8 = {node.name for node in graph.node if node.op_type == "Conv" and node.input[1] in dequantized}
    return 1 - sum(harm for name, harm in HARM.items() if name in int8)


@pytest.mark.parametrize(("bound", "kept"), [(0.9, 0), (0.95, 1), (0.96, 1), (0.985, 2), (1.0, 3)])
def test_the_fewest_layers_with_the_largest_error_are_kept(
    chain_onnx: Path, table: CalibrationTable, tmp_path: Path, bound: float, kept: int
) -> None:
    found = search(chain_onnx, table, tmp_path / "state.json", _fidelity, target="tensorrt", bound=bound)
    assert found.float_nodes == tuple(HARM)[:kept]
    assert found.fidelity == pytest.approx(1 - sum(list(HARM.values())[kept:]))
    trials = dict(found.trials)
    assert trials[1 - kept / 6] == found.fidelity
    if not kept:
        assert found.sensitivity == {}  # nothing to choose from
        return
    assert set(found.sensitivity) == set("012345")  # the head is never quantized
    assert {name: found.sensitivity[name] for name in HARM} == pytest.approx(
        {name: 1 - harm for name, harm in HARM.items()}
    )
    assert trials[0] == 1  # all in FP32, to see whether the bound can be held at all


def test_a_faster_measure_orders_the_layers(chain_onnx: Path, table: CalibrationTable, tmp_path: Path) -> None:
    found = search(
        chain_onnx,
        table,
        tmp_path / "state.json",
        _fidelity,
        measure_sensitivity=lambda path: round(_fidelity(path), 2) - 0.5,
        target="tensorrt",
        bound=0.985,
    )
    assert found.float_nodes == ("4", "0")
    assert found.sensitivity["4"] == pytest.approx(0.45)
    assert found.fidelity == pytest.approx(0.99)


def test_an_interrupted_search_is_resumed(chain_onnx: Path, table: CalibrationTable, tmp_path: Path) -> None:
    state, lines, calls = tmp_path / "state.json", [], []

    def measure(path: Path) -> float:
        calls.append(path)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return _fidelity(path)

    with pytest.raises(KeyboardInterrupt):
        search(chain_onnx, table, state, measure, target="tensorrt", bound=0.985, on_progress=lines.append)
    assert json.loads(state.read_text())["sensitivity"] == pytest.approx({"0": 0.97, "1": 1, "2": 1})
    assert lines == ["no layer in FP32", *(f"sensitivity of layer {k}/6" for k in (1, 2, 3, 4))]
    search(chain_onnx, table, state, measure, target="tensorrt", bound=0.985)
    assert len(calls) == 5 + 1 + 3 + 3  # none in FP32, the three layers that were left; all in FP32, one, two
    other = CalibrationTable(**(vars(table) | {"frames_sha256": "other frames"}))
    search(chain_onnx, other, state, measure, target="tensorrt", bound=0.985)
    assert len(calls) == 12 + 1 + 6 + 3  # of another table all of them anew


def test_a_bound_that_cannot_be_met_is_an_error(chain_onnx: Path, table: CalibrationTable, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"got 0\.5000 with all 6 layers in FP32, expected at least 0\.9"):
        search(chain_onnx, table, tmp_path / "state.json", lambda path: 0.5, target="tensorrt", bound=0.9)
