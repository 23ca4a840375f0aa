"""Fidelity of one form of a network (FP16, INT8, an engine) to another, on given inputs."""

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
    """Agreement of masks, which are the pixels of probability >= 0.5.

    iou: IoU of each frame, in order. flipped: fraction of all pixels whose mask value differs.
    """

    iou: tuple[float, ...]
    flipped: float

    @property
    def mean_iou(self) -> float:
        return float(np.mean(self.iou))

    @property
    def iou_p1(self) -> float:
        """First percentile of the IoU over frames."""
        return float(np.percentile(self.iou, 1))

    def to_json(self) -> dict[str, Any]:
        return {"frames": len(self.iou), "mean_iou": self.mean_iou, "iou_p1": self.iou_p1, "flipped": self.flipped}


@dataclass(frozen=True, kw_only=True)
class FlowFidelity:
    """End-point differences in pixels of the input, over all vectors of each frame.

    median_px: median over frames of each frame's median. mean_px and worst_frame_px: mean and maximum over frames of
    each frame's mean.
    """

    frames: int
    median_px: float
    mean_px: float
    worst_frame_px: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def mask_fidelity(reference: Run, candidate: Run, input_batches: Iterable[Mapping[str, NDArray[Any]]]) -> MaskFidelity:
    """Run both on each of `input_batches` and compare their outputs `mask` (..., H, W) of probabilities.

    Two empty masks have an IoU of 1. Raises ModelFileError for masks that are not finite, ValueError if there are no
    input batches.
    """
    ious, flipped, pixels = [], 0, 0
    for inputs in input_batches:
        expected, found = (_finite(run(inputs)["mask"], "mask") >= 0.5 for run in (reference, candidate))
        ious.append(mask_iou(expected, found))
        flipped += int(np.count_nonzero(expected != found))
        pixels += expected.size
    if not ious:
        raise ValueError("got no input batches, expected at least one")
    return MaskFidelity(iou=tuple(ious), flipped=flipped / pixels)


def flow_fidelity(reference: Run, candidate: Run, input_batches: Iterable[Mapping[str, NDArray[Any]]]) -> FlowFidelity:
    """Run both on each of `input_batches` and compare their outputs `flow` (N, 2, h, w). Raises as `mask_fidelity`."""
    medians, means = [], []
    for inputs in input_batches:
        expected, found = (_finite(run(inputs)["flow"], "flow") for run in (reference, candidate))
        difference_px = np.linalg.norm(found - expected, axis=1)
        medians.append(float(np.median(difference_px)))
        means.append(float(difference_px.mean()))
    if not medians:
        raise ValueError("got no input batches, expected at least one")
    return FlowFidelity(
        frames=len(medians),
        median_px=float(np.median(medians)),
        mean_px=float(np.mean(means)),
        worst_frame_px=max(means),
    )


def _finite(values: NDArray[Any], name: str) -> NDArray[Any]:
    if not np.isfinite(values).all():
        raise ModelFileError(f"the output {name!r} contains NaN or infinite values; expected finite numbers")
    return values.astype(np.float32)
