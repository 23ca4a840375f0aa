"""Shares of the measured peaks and the paper's target, for networks whose FLOPs are known."""

from __future__ import annotations

import pytest

from amcnet.benchmarks.latency.graph_cost import GraphCost, Layer
from amcnet.benchmarks.latency.measured_peaks import MeasuredPeaks, measure_peaks
from amcnet.benchmarks.latency.roofline import PAPER_FLOPS, achieved, paper_share, target


def _cost(*layers: tuple[float, float]) -> GraphCost:
    """Layers of these FLOPs and bytes."""
    return GraphCost(
        layers=tuple(
            Layer(name="x", group="x", kind="Conv", precision="fp32", macs=int(flops / 2), bytes=int(moved))
            for flops, moved in layers
        )
    )


def test_the_target_counts_for_the_same_network_only() -> None:
    papers = _cost((PAPER_FLOPS, 1e9))
    assert target(114.0, papers, (384, 384)) == {
        "target_ms": 57.0,
        "met": False,
        "ratio": 2.0,
        "same_network": True,
        "share_of_paper_flops": 1.0,
    }
    light = target(14.25, _cost((PAPER_FLOPS / 50, 1e6)), (384, 384))
    assert (light["met"], light["ratio"], light["same_network"]) == (True, 0.25, False)
    assert not target(10.0, papers, (256, 256))["same_network"]
    assert not target(10.0, None, (384, 384))["same_network"]


def test_the_papers_latency_is_a_quarter_of_its_gpus_peak() -> None:
    assert paper_share() == pytest.approx(0.25, abs=0.01)


def test_shares_of_the_peaks_are_computed() -> None:
    shares = achieved(20.0, _cost((1e9, 1e8)), MeasuredPeaks(flops_per_second={"fp32": 1e11}, bytes_per_second=2e10))
    assert shares["flops_per_second"] == 5e10
    assert shares["share_of_compute"] == 0.5
    assert shares["share_of_memory"] == 0.25
    assert (
        achieved(20.0, _cost((1e9, 1e8)), MeasuredPeaks(flops_per_second={}, bytes_per_second=1))["share_of_compute"]
        is None
    )


def test_the_larger_of_two_measured_peaks_is_kept() -> None:
    first = MeasuredPeaks(flops_per_second={"fp32": 1e11, "int8": 9e11}, bytes_per_second=2e10)
    second = MeasuredPeaks(flops_per_second={"fp32": 3e11, "int8": 8e11}, bytes_per_second=1e10)
    assert first.or_better(second) == MeasuredPeaks(
        flops_per_second={"fp32": 3e11, "int8": 9e11}, bytes_per_second=2e10
    )


def test_the_peaks_of_this_machine_are_measured() -> None:
    measured_peaks = measure_peaks()
    assert measured_peaks.flops_per_second["fp32"] > 1e9
    assert measured_peaks.flops_per_second["int8"] > 1e9
    assert measured_peaks.bytes_per_second > 1e8
