"""Temporal stability of the masks of a video, measured along the optical flow without annotations."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ...runtime.errors import InputError
from ...runtime.metrics.region import region_similarity
from ...runtime.opencv_state import single_threaded_opencv
from ...runtime.version import __version__
from .protocol import read_gray


@dataclass(frozen=True, kw_only=True)
class Stability:
    """Mean IoU over `pairs` of adjacent frames, and the lowest, `worst`, at frame `worst_index`, counted from 0."""

    mean: float
    pairs: int
    worst: float
    worst_index: int

    def to_json(self) -> dict[str, Any]:
        """The content of `amc-eval --video --json`."""
        return {
            "temporal_stability": {"mean": self.mean, "worst": self.worst, "worst_index": self.worst_index},
            "pairs": self.pairs,
            "versions": {"amcnet": __version__, "numpy": np.__version__, "opencv": cv2.__version__},
        }


def temporal_stability(masks: Iterable[NDArray[np.bool_]], flows: Iterable[NDArray[np.float32]]) -> Stability:
    """Mean IoU of each mask with the previous mask warped by the flow, in [0, 1].

    masks: (H, W) bool, one per frame. flows: (H, W, 2) float32 in pixels, one per pair of adjacent frames, *backward*:
    pixel (x, y) of frame t + 1 was at (x + u, y + v) in frame t. Both may be iterators; nothing is stored. The IoU of
    two empty masks is 1. Pixels that come from outside the image are ignored. Stability is not accuracy: masks that are
    always empty have the stability 1.

    Raises InputError for fewer than two masks or different sizes, ValueError if there is not one flow per pair.
    """
    values = [
        _agreement(before, mask, flow, index)
        for index, ((before, mask), flow) in enumerate(zip(pairwise(masks), flows, strict=True), start=1)
    ]
    if not values:
        raise InputError("temporal stability compares adjacent frames: got fewer than two masks, expected two or more")
    worst = int(np.argmin(values))
    return Stability(mean=float(np.mean(values)), pairs=len(values), worst=values[worst], worst_index=worst + 1)


def video_stability(video: Path, masks: Path, *, progress: bool = False) -> Stability:
    """Temporal stability of the masks of a video, PNG files in `masks` or `masks`/masks.

    The masks, sorted by name, are those of the frames, one each. The flow is DIS (preset medium) at the size of the
    video, with one thread, so that it is the same on every machine. `progress` shows a progress bar on stderr if that
    is a terminal. Raises InputError if the numbers or sizes of masks and frames differ.
    """
    folder = masks / "masks" if (masks / "masks").is_dir() else masks
    files = sorted(folder.glob("*.png"))
    if not files:
        raise InputError(f"{folder} has no *.png; expected one mask for each frame of {video}")
    shown = tqdm(files, unit="frame", leave=False, disable=None if progress else True)
    with single_threaded_opencv, closing(_backward_flows(video, len(files))) as flows:
        return temporal_stability((read_gray(file) > 0 for file in shown), flows)


def _agreement(before: NDArray[np.bool_], mask: NDArray[np.bool_], flow: NDArray[np.float32], index: int) -> float:
    if not before.shape == mask.shape == flow.shape[:2]:
        raise InputError(
            f"frame {index}: the mask is {mask.shape}, the previous one {before.shape}, the flow {flow.shape[:2]} "
            "(height, width); expected equal sizes. Fix: use masks that were made from this video"
        )
    height, width = mask.shape
    y, x = np.mgrid[:height, :width].astype(np.float32) + np.moveaxis(
        flow[..., ::-1], 2, 0
    )  # position in the previous frame
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    moved = np.asarray(cv2.remap(before.astype(np.float32), x, y, cv2.INTER_LINEAR)) >= 0.5
    return region_similarity(moved & inside, mask & inside)


def _backward_flows(video: Path, expected_frames: int) -> Generator[NDArray[np.float32], None, None]:
    """DIS flow from each frame to the previous one, (H, W, 2) px. Raises InputError for another number of frames."""
    # Imported here: decoding needs PyAV, scoring images does not.
    from ...runtime.video.reader import open_frames

    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    before: NDArray[np.uint8] | None = None
    count = 0
    with open_frames(video) as frames:
        for frame in frames:
            count += 1
            if count > expected_frames:
                raise InputError(
                    f"{video} has more frames than there are masks, {expected_frames}; expected one mask per frame"
                )
            gray = np.asarray(cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY), np.uint8)
            if before is not None:
                if before.shape != gray.shape:
                    raise InputError(f"{video}: the size changes at frame {count - 1}; expected frames of one size")
                yield np.asarray(estimator.calc(gray, before, None), np.float32)  # type: ignore[call-overload]
            before = gray
    if count < expected_frames:
        raise InputError(
            f"{video} has {count} frames, but there are {expected_frames} masks; expected one mask per frame"
        )
