"""The probe measures the largest value of each tensor over all frames, and finds what exceeds the range of FP16."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from amcnet.engines.precision.range_probe import LIMIT, probe_ranges
from amcnet.runtime.errors import ModelFileError

TEXT = """
<ir_version: 8, opset_import: ["": 17]>
g (float[N, 2, 8, 8] x) => (float[N, 2, 8, 8] y) <
    float[N, 2, 8, 8] scaled, float[N, 2, 1, 1] mean, float[N, 2, 8, 8] less, float[N, 2, 8, 8] root, int64[4] shape,
    float[N, 2, 8, 8] sigmoid> {
    factor = Constant <value = float {-100.0}> ()
    [scale] scaled = Mul (x, factor)
    [shape] shape = Shape (x)
    [pool] mean = GlobalAveragePool (x)
    [less] less = Sub (scaled, mean)
    [sigmoid] sigmoid = Sigmoid (less)
    [root] root = Sqrt (x)
    [end] y = Add (sigmoid, root)
}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    proto = onnx.parser.parse_model(TEXT)
    onnx.save(proto, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def _inputs(value: float, batch: int = 1) -> dict[str, NDArray[np.float32]]:
    x = np.zeros((batch, 2, 8, 8), np.float32)
    x[-1, 1, 3, 4] = value
    return {"x": x}


def test_maxima_are_taken_over_all_batches(model: Path) -> None:
    report = probe_ranges(model, iter([_inputs(2), _inputs(16, batch=3), _inputs(4)]))
    assert report.frames == 3
    expected = {"x": 16, "scaled": 1600, "mean": 0.25, "less": 1600.25, "sigmoid": 0.5, "root": 4, "y": 4}
    assert report.max_abs == pytest.approx(expected)
    assert report.fp32_regions == ()


def test_the_nodes_around_a_large_tensor_stay_fp32(model: Path) -> None:
    assert LIMIT == 16376
    report = probe_ranges(model, [_inputs(164)])
    regions = {region.tensor: region for region in report.fp32_regions}
    assert regions.keys() == {"scaled", "less"}
    assert regions["scaled"].nodes == ("scale", "less")
    assert regions["less"].nodes == ("less", "sigmoid")
    assert regions["scaled"].max_abs == 16400
    assert regions["scaled"].reason == "|scaled| reaches 1.64e+04, more than a quarter of 65504"


def test_a_mean_with_a_large_sum_stays_fp32(model: Path) -> None:
    # 64 values of 300: a mean of 300 is harmless, the sum of 19200 on the way is not.
    report = probe_ranges(model, [{"x": np.full((1, 2, 8, 8), 300, np.float32)}])
    (region,) = [region for region in report.fp32_regions if region.tensor == "mean"]
    assert region.nodes == ("pool",)
    assert region.reason == "mean sums up to 1.92e+04, more than a quarter of 65504"


def test_the_report_can_be_written_as_json(model: Path) -> None:
    report = probe_ranges(model, [_inputs(164)])
    written = report.to_json()
    assert json.loads(json.dumps(written)) == written  # a card reads what it wrote
    assert list(written["largest"].items())[:2] == [("less", pytest.approx(report.max_abs["less"])), ("scaled", 16400)]
    assert written["fp32_regions"][0]["nodes"] == ["scale", "less"]


def test_values_that_are_not_finite_are_refused(model: Path) -> None:
    with pytest.raises(ModelFileError, match=r"the tensor 'root' in .* has NaN or infinite values on frame 1"):
        probe_ranges(model, [_inputs(1), _inputs(-1)])


def test_inputs_that_do_not_fit_are_refused(model: Path) -> None:
    with pytest.raises(ModelFileError, match=r"cannot run: got x 1x2x8x9, expected x Nx2x8x8"):
        probe_ranges(model, [{"x": np.zeros((1, 2, 8, 9), np.float32)}])


def test_an_empty_list_of_batches_is_refused(model: Path) -> None:
    with pytest.raises(ValueError, match="got no input batches, expected at least one"):
        probe_ranges(model, [])


def _resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_memory_does_not_grow_with_frames_or_tensors(tmp_path: Path) -> None:
    steps = "".join(f"[n{i}] t{i + 1} = Neg (t{i}) " for i in range(100))
    types = ", ".join(f"float[1000, 1000] t{i}" for i in range(1, 100))
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[1000, 1000] t0) => (float[1000, 1000] t100)'
    onnx.save(onnx.parser.parse_model(f"{text} <{types}> {{ {steps} }}"), tmp_path / "chain.onnx")
    seen = []

    def input_batches() -> Iterator[dict[str, NDArray[np.float32]]]:
        for _ in range(2):
            seen.append(_resident())
            yield {"t0": np.ones((1000, 1000), np.float32)}  # 4 MB, and a hundred tensors of that size inside
        seen.append(_resident())

    assert len(probe_ranges(tmp_path / "chain.onnx", input_batches()).max_abs) == 101
    assert seen[-1] - seen[0] < 60e6
