"""How far one form of a network (half, int8, an engine) is from another, on the frames it will be used on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import ModelFileError
from ...runtime.metrics.mask_iou import mask_iou

Run = Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]]
"""Inputs by name -> outputs by name."""


@dataclass(frozen=True, kw_only=True)
class MaskFidelity:
    """Of the masks, probability >= 0.5. iou of each frame, in order; flipped: the share of all pixels that changed."""

    iou: tuple[float, ...]
    flipped: float

    @property
    def mean_iou(self) -> float:
        return float(np.mean(self.iou))

    @property
    def iou_p1(self) -> float:
        """The first percentile: what the worst frames have."""
        return float(np.percentile(self.iou, 1))

    def worst(self, count: int) -> list[int]:
        """The places of the `count` frames with the least IoU, least first."""
        return [int(place) for place in np.argsort(self.iou, kind="stable")[:count]]

    def to_json(self) -> dict[str, Any]:
        return {"frames": len(self.iou), "mean_iou": self.mean_iou, "iou_p1": self.iou_p1, "flipped": self.flipped}


@dataclass(frozen=True, kw_only=True)
class FlowFidelity:
    """End-point differences in px of the input, over all vectors of each frame; the median of the frames' medians."""

    frames: int
    median_px: float
    mean_px: float
    worst_frame_px: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def mask_fidelity(reference: Run, candidate: Run, input_batches: Iterable[Mapping[str, NDArray[Any]]]) -> MaskFidelity:
    """Both run on each of `feeds`; their output `mask` (..., H, W) is compared.

    Two empty masks are alike (IoU 1). Raises ModelFileError for masks that are not finite, ValueError without feeds.
    """
    ious, flipped, pixels = [], 0, 0
    for feed in input_batches:
        expected, found = (_finite(run(feed)["mask"], "mask") >= 0.5 for run in (reference, candidate))
        ious.append(mask_iou(expected, found))
        flipped += int(np.count_nonzero(expected != found))
        pixels += expected.size
    if not ious:
        raise ValueError("there are no feeds; expected at least one")
    return MaskFidelity(iou=tuple(ious), flipped=flipped / pixels)


def flow_fidelity(reference: Run, candidate: Run, input_batches: Iterable[Mapping[str, NDArray[Any]]]) -> FlowFidelity:
    """Both run on each of `feeds`; their output `flow` (N, 2, h, w) is compared. Raises as `mask_fidelity` does."""
    medians, means = [], []
    for feed in input_batches:
        expected, found = (_finite(run(feed)["flow"], "flow") for run in (reference, candidate))
        difference_px = np.linalg.norm(found - expected, axis=1)
        medians.append(float(np.median(difference_px)))
        means.append(float(difference_px.mean()))
    if not medians:
        raise ValueError("there are no feeds; expected at least one")
    return FlowFidelity(
        frames=len(medians),
        median_px=float(np.median(medians)),
        mean_px=float(np.mean(means)),
        worst_frame_px=max(means),
    )


def _finite(values: NDArray[Any], name: str) -> NDArray[Any]:
    if not np.isfinite(values).all():
        raise ModelFileError(f"the output {name!r} has values that are not finite (NaN or infinite); expected numbers")
    return values.astype(np.float32)
