"""Shares, targets and predictions of networks whose work is known."""

from __future__ import annotations

import pytest

from amcnet.benchmarks.latency.gpu_specs import GPUS
from amcnet.benchmarks.latency.graph_cost import GraphCost, Layer
from amcnet.benchmarks.latency.measured_peaks import MeasuredPeaks, measure_ceilings
from amcnet.benchmarks.latency.roofline import PAPER_FLOPS, achieved, predictions, roofline_ms, target


def _cost(*layers: tuple[float, float]) -> GraphCost:
    """Layers of these FLOPs and bytes."""
    return GraphCost(
        layers=tuple(
            Layer(name="x", group="x", kind="Conv", precision="fp32", macs=int(flops / 2), bytes=int(moved))
            for flops, moved in layers
        )
    )


def test_the_target_is_met_or_not_and_only_the_same_network_counts() -> None:
    papers = _cost((PAPER_FLOPS, 1e9))
    assert target(114.0, papers, (384, 384)) == {
        "target_ms": 57.0,
        "met": False,
        "ratio": 2.0,
        "same_network": True,
        "work_of_papers": 1.0,
    }
    light = target(14.25, _cost((PAPER_FLOPS / 50, 1e6)), (384, 384))
    assert (light["met"], light["ratio"], light["same_network"]) == (True, 0.25, False)
    assert not target(10.0, papers, (256, 256))["same_network"]
    assert not target(10.0, None, (384, 384))["same_network"]


def test_each_layer_is_bound_by_its_slower_side() -> None:
    # 1 TFLOP/s and 100 GB/s: 10 ms of arithmetic beside 1 ms of traffic, then 1 beside 20.
    cost = _cost((1e10, 1e8), (1e9, 2e9))
    assert roofline_ms(cost, 1e12, 1e11) == pytest.approx(10 + 20)


def test_shares_of_the_ceilings() -> None:
    shares = achieved(20.0, _cost((1e9, 1e8)), MeasuredPeaks(flops_per_second={"fp32": 1e11}, bytes_per_second=2e10))
    assert shares["flops_per_second"] == 5e10
    assert shares["share_of_compute"] == 0.5
    assert shares["share_of_memory"] == 0.25
    assert (
        achieved(20.0, _cost((1e9, 1e8)), MeasuredPeaks(flops_per_second={}, bytes_per_second=1))["share_of_compute"]
        is None
    )


def test_predictions_are_labeled_ordered_and_sourced() -> None:
    made = predictions(_cost((PAPER_FLOPS, 2e9)))
    assert {row["gpu"] for row in made} == {gpu.name for gpu in GPUS}
    for row in made:
        assert row["is_prediction"] is True
        assert 0 < row["least_ms"] <= row["fast_ms"] <= row["likely_ms"] <= row["slow_ms"]
        assert row["source"]
    # What the paper measured lies inside of what is predicted for its GPU.
    own = next(row for row in made if row["gpu"] == "GTX 1080 Ti")
    assert own["fast_ms"] <= 58 <= own["slow_ms"]


def test_a_light_network_is_not_predicted() -> None:
    assert predictions(_cost((1.9e9, 1e8))) == []


def test_a_disturbed_ceiling_gives_way_to_a_better_one() -> None:
    first = MeasuredPeaks(flops_per_second={"fp32": 1e11, "int8": 9e11}, bytes_per_second=2e10)
    second = MeasuredPeaks(flops_per_second={"fp32": 3e11, "int8": 8e11}, bytes_per_second=1e10)
    assert first.or_better(second) == MeasuredPeaks(
        flops_per_second={"fp32": 3e11, "int8": 9e11}, bytes_per_second=2e10
    )


def test_this_machines_ceilings_are_measured() -> None:
    measured_peaks = measure_ceilings()
    assert measured_peaks.flops_per_second["fp32"] > 1e9
    assert measured_peaks.flops_per_second["int8"] > 1e9
    assert measured_peaks.bytes_per_second > 1e8
