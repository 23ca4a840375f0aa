"""Relate a latency to the paper's 57 ms per frame and to the measured peaks of this machine."""

from __future__ import annotations

from typing import Any

from .graph_cost import GraphCost
from .measured_peaks import MeasuredPeaks

# Yang et al., ICCV 2021: network only, PyTorch, 384x384, ResNet-101 in both streams, on a GTX 1080 Ti.
PAPER_MS = 57.0
PAPER_GPU = "GTX 1080 Ti"
PAPER_FLOPS = 163.5e9
_PAPER_GPU_FLOPS_PER_SECOND = 2 * 3584 * 1582e6  # FP32: cores x boost clock, by its data sheet
_SAME_WORK = 0.02


def target(latency_ms: float, cost: GraphCost | None, size: tuple[int, int]) -> dict[str, Any]:
    """Compare the latency of an AMC-Net with the paper's 57 ms.

    `size` is (width, height). "same_network" is true only for the paper's input size and FLOPs: a lighter network, or a
    smaller input, can meet 57 ms without being faster than the paper's network.
    """
    same = size == (384, 384) and cost is not None and abs(cost.flops / PAPER_FLOPS - 1) < _SAME_WORK
    return {
        "target_ms": PAPER_MS,
        "met": latency_ms <= PAPER_MS,
        "ratio": round(latency_ms / PAPER_MS, 4),
        "same_network": same,
        "share_of_paper_flops": None if cost is None else round(cost.flops / PAPER_FLOPS, 4),
    }


def paper_share() -> float:
    """Share of the peak FLOP/s of the GTX 1080 Ti that the paper's latency amounts to, about 0.25."""
    return PAPER_FLOPS / (PAPER_MS / 1e3) / _PAPER_GPU_FLOPS_PER_SECOND


def achieved(latency_ms: float, cost: GraphCost, measured_peaks: MeasuredPeaks) -> dict[str, Any]:
    """FLOP/s and bytes/s of one run, and their shares of the measured peaks; None for a precision without a peak."""
    flops, moved = cost.flops / latency_ms * 1e3, cost.bytes / latency_ms * 1e3
    peak = measured_peaks.flops_per_second.get(cost.precision)
    return {
        "flops_per_second": flops,
        "bytes_per_second": moved,
        "share_of_compute": None if peak is None else round(flops / peak, 4),
        "share_of_memory": round(moved / measured_peaks.bytes_per_second, 4),
    }
