"""How good a latency is: against the paper's, against this machine's ceilings, and what other GPUs may do."""

from __future__ import annotations

import math
from typing import Any

from .gpu_specs import GPUS, PUBLISHED, Gpu
from .graph_cost import GraphCost
from .measured_peaks import MeasuredPeaks

# Yang et al., ICCV 2021: network only, PyTorch, 384x384, ResNet-101 twice, on a GTX 1080 Ti.
PAPER_MS = 57.0
PAPER_GPU = "GTX 1080 Ti"
PAPER_FLOPS = 163.5e9
_SAME_WORK = 0.02
# The least work of the published networks. Below it a GPU waits for the launches of its kernels, of which a roofline
# knows nothing.
_LEAST_PREDICTED_FLOPS = 7.7e9


def target(latency_ms: float, cost: GraphCost | None, size: tuple[int, int]) -> dict[str, Any]:
    """The latency of an AMC-Net by the paper's 57 ms: met or not, the ratio, and whether it is the same work at all.

    A light network, or another input size, can meet 57 ms without being any faster than the paper's.
    """
    same = size == (384, 384) and cost is not None and abs(cost.flops / PAPER_FLOPS - 1) < _SAME_WORK
    return {
        "target_ms": PAPER_MS,
        "met": latency_ms <= PAPER_MS,
        "ratio": round(latency_ms / PAPER_MS, 4),
        "same_network": same,
        "work_of_papers": None if cost is None else round(cost.flops / PAPER_FLOPS, 4),
    }


def paper_share() -> float:
    """The share of the GTX 1080 Ti's peak that the paper's latency amounts to: about 25 %."""
    gpu = next(gpu for gpu in GPUS if gpu.name == PAPER_GPU)
    return PAPER_FLOPS / (PAPER_MS / 1e3) / gpu.flops_per_second["fp32"]


def achieved(latency_ms: float, cost: GraphCost, measured_peaks: MeasuredPeaks) -> dict[str, Any]:
    """FLOP/s and bytes/s of one run, and their shares of the ceilings; None where no ceiling was measured."""
    flops, moved = cost.flops / latency_ms * 1e3, cost.bytes / latency_ms * 1e3
    ceiling = measured_peaks.flops_per_second.get(cost.precision)
    return {
        "flops_per_second": flops,
        "bytes_per_second": moved,
        "share_of_compute": None if ceiling is None else round(flops / ceiling, 4),
        "share_of_memory": round(moved / measured_peaks.bytes_per_second, 4),
    }


def roofline_ms(cost: GraphCost, flops_per_second: float, bytes_per_second: float, *, bytes_scale: float = 1) -> float:
    """The least time by the roofline: for each layer the longer of its arithmetic and its traffic, summed."""
    return 1e3 * sum(
        max(layer.flops / flops_per_second, layer.bytes * bytes_scale / bytes_per_second) for layer in cost.layers
    )


def predictions(cost: GraphCost) -> list[dict[str, Any]]:
    """A PREDICTION of this float32 network's latency for each GPU of the table, never a measurement.

    `least_ms` is the roofline, which nothing can beat. Published networks at batch 1 reach a share of the peak between
    a least and a most: `fast_ms` and `slow_ms` are the work by these, `likely_ms` by their geometric mean. Empty for a
    network with less work than any of the published ones.
    """
    if cost.flops < _LEAST_PREDICTED_FLOPS:
        return []
    return [_predict(cost, gpu, precision) for gpu in GPUS for precision in gpu.flops_per_second]


def _predict(cost: GraphCost, gpu: Gpu, precision: str) -> dict[str, Any]:
    least = roofline_ms(
        cost,
        gpu.flops_per_second[precision],
        gpu.bytes_per_second,
        bytes_scale=0.5 if precision == "fp16" else 1,
    )
    shares = [entry.share for entry in PUBLISHED if entry.precision == precision]
    likely = math.prod(shares) ** (1 / len(shares))
    by_work = 1e3 * cost.flops / gpu.flops_per_second[precision]
    return {
        "gpu": gpu.name,
        "precision": precision,
        "is_prediction": True,
        "least_ms": round(least, 2),
        "fast_ms": round(max(least, by_work / max(shares)), 2),
        "likely_ms": round(max(least, by_work / likely), 2),
        "slow_ms": round(max(least, by_work / min(shares)), 2),
        "source": gpu.source,
    }
