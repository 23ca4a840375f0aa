"""How steady the masks of a video are where nobody has annotated it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from ...runtime.version import __version__
from .protocol import read_gray


@dataclass(frozen=True, kw_only=True)
class Stability:
    """`mean` IoU over `pairs` of neighboring frames; the `worst` IoU was at frame `worst_index`, counted from 0."""

    mean: float
    pairs: int
    worst: float
    worst_index: int

    def to_json(self) -> dict[str, Any]:
        """What `amc-eval --video --json` writes."""
        return {
            "temporal_stability": {"mean": self.mean, "worst": self.worst, "worst_index": self.worst_index},
            "pairs": self.pairs,
            "versions": {"amcnet": __version__, "numpy": np.__version__, "opencv": cv2.__version__},
        }


def temporal_stability(masks: Iterable[NDArray[np.bool_]], flows: Iterable[NDArray[np.float32]]) -> Stability:
    """Mean IoU of each mask with the mask before it, moved along by the flow; in [0, 1], 1 for masks that keep to it.

    `masks` are (H, W) bool, one a frame; `flows` (H, W, 2) float32 in pixels, one a pair of neighbors, *backwards*:
    pixel (x, y) of frame t + 1 was at (x + u, y + v) in frame t. Both may be iterators, nothing is kept. Two empty
    masks agree (1). Pixels that come from outside the picture are left out: nobody can know what they were. Steady is
    not right: masks that are always empty are perfectly steady.

    Raises InputError for less than two masks or sizes that differ, ValueError if there is not one flow a pair.
    """
    values = [
        _agreement(before, mask, flow, index)
        for index, ((before, mask), flow) in enumerate(zip(pairwise(masks), flows, strict=True), start=1)
    ]
    if not values:
        raise InputError("temporal stability compares neighboring frames; got less than two masks")
    worst = int(np.argmin(values))
    return Stability(mean=float(np.mean(values)), pairs=len(values), worst=values[worst], worst_index=worst + 1)


def video_stability(video: Path, masks: Path, *, progress: bool = False) -> Stability:
    """The temporal stability of a video's masks, which lie in `masks` or in `masks`/masks.

    The flow is DIS at the video's own size. The masks, sorted by name, belong to the frames, one each. `progress` shows
    a bar on stderr if that is a terminal. Raises InputError if their numbers or sizes differ.
    """
    folder = masks / "masks" if (masks / "masks").is_dir() else masks
    files = sorted(folder.glob("*.png"))
    if not files:
        raise InputError(f"{folder} holds no *.png; expected one mask for each frame of {video}")
    shown = tqdm(files, unit="frame", leave=False, disable=None if progress else True)
    return temporal_stability((read_gray(file) > 0 for file in shown), _backward_flows(video, len(files)))


def _agreement(before: NDArray[np.bool_], mask: NDArray[np.bool_], flow: NDArray[np.float32], index: int) -> float:
    if not before.shape == mask.shape == flow.shape[:2]:
        raise InputError(
            f"frame {index}: the mask is {mask.shape}, the one before {before.shape}, the flow {flow.shape[:2]} "
            "(height, width); all three must be equal, so take masks that were made from this video"
        )
    height, width = mask.shape
    y, x = np.mgrid[:height, :width].astype(np.float32) + np.moveaxis(flow[..., ::-1], 2, 0)  # where each came from
    known = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    moved = np.asarray(cv2.remap(before.astype(np.float32), x, y, cv2.INTER_LINEAR)) >= 0.5
    return region_similarity(moved & known, mask & known)


def _backward_flows(video: Path, expected_frames: int) -> Iterator[NDArray[np.float32]]:
    """The DIS flow from each frame to the one before it, (H, W, 2) px; InputError if there are more or fewer frames."""
    # Here, because decoding needs PyAV and scoring pictures does not.
    from ...runtime.video.reader import open_frames

    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    before: NDArray[np.uint8] | None = None
    count = 0
    with open_frames(video) as frames:
        for frame in frames:
            count += 1
            if count > expected_frames:
                raise InputError(f"{video} has more frames than the {expected_frames} masks; expected one mask a frame")
            gray = np.asarray(cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY), np.uint8)
            if before is not None:
                if before.shape != gray.shape:
                    raise InputError(f"{video} changes its size at frame {count - 1}; flow needs frames of one size")
                yield np.asarray(estimator.calc(gray, before, None), np.float32)  # type: ignore[call-overload]
            before = gray
    if count < expected_frames:
        raise InputError(
            f"{video} has {count} frames, but there are {expected_frames} masks; expected one mask a frame"
        )
