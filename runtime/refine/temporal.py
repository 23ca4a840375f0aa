"""Temporal filter: the log-odds of each frame, averaged with those of its two neighbors along the optical flow.

Masks of single frames flicker: blobs come and go beside the object, and parts of it drop out. The neighbors show the
same object, so their log-odds, moved along the flow, are further estimates of the same quantity.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..explanation import Explanation
from ..flow.flow import Motion
from ..frame import Frame
from ..stage_times import StageTimes

MAX_LOG_ODDS = 8.0  # probabilities of 0.0003 to 0.9997: a frame that is wrong and certain is outvoted by its neighbors
# Weight of a neighbor's pixel by its difference in gray levels.
_WEIGHTS = np.exp(-np.arange(256) / 40).astype(np.float32)
# The mean difference beyond which a neighbor is on the other side of a cut, as a share of the frame's contrast. On
# DAVIS, adjacent frames of one clip reach 0.27, those of different clips have 0.65 or more.
_CUT = 0.6


@dataclass(frozen=True, eq=False)
class Evidence:
    """The `probability` (h, w) float32 in [0, 1] of `frame`, and its `motion` on the same grid, None if unknown.

    `explanation` is passed on unchanged.
    """

    frame: Frame
    probability: NDArray[np.float32]
    motion: Motion | None
    explanation: Explanation | None = None

    @cached_property
    def log_odds(self) -> NDArray[np.float32]:
        """ln(p / (1 - p)), limited to ±MAX_LOG_ODDS: (h, w) float32."""
        least = np.float32(1 / (1 + np.exp(MAX_LOG_ODDS)))
        p = np.clip(self.probability, least, 1 - least)
        return np.asarray(np.log(p / (1 - p)), np.float32)


def filter_in_time(items: Iterator[Evidence], times: StageTimes) -> Iterator[Evidence]:
    """Yield `items` with their probabilities averaged with their neighbors', each after the next one is there.

    An error of `items` is raised after the items before it, of which the last has no next one.
    """
    end: Exception | None = None
    before, current = None, next(items, None)
    while current is not None:
        after = None
        try:
            after = next(items, None)
        except Exception as error:
            end = error
        with times("temporal"):
            probability = average(before, current, after)
        yield replace(current, probability=probability)
        before, current = current, after
    if end is not None:
        raise end


def average(before: Evidence | None, current: Evidence, after: Evidence | None) -> NDArray[np.float32]:
    """The probability of `current`, averaged with its neighbors: (h, w) float32 in [0, 1].

        average(None, first, second)

    z' = (z + u warp(z_before) + v warp(z_after)) / (1 + u + v), where z are log-odds. The weights u and v are
    exp(-d / 40) per pixel; d is the difference of the two gray levels that the flow relates, which is large where the
    flow is wrong or the pixel is hidden. A neighbor on the other side of a cut has no weight.

    before, after: None for the first and the last frame. Without neighbors the result is `current.probability` itself.

    The filter has no state, so a resumed run gives the same masks as an uninterrupted one. A recursive filter, with the
    previous result in place of z_before, is no more accurate (benchmarks/results/temporal.json).
    """
    if current.motion is None:
        return current.probability
    total, weights = current.log_odds, np.ones((), np.float32)
    for log_odds, gray, flow in _neighbors(before, current.motion, after):
        weight = match(current.motion.gray, warp(gray, flow))
        if weight is not None:
            total = total + weight * warp(log_odds, flow)
            weights = weights + weight
    if total is current.log_odds:
        return current.probability
    return np.asarray(1 / (1 + np.exp(-total / weights)), np.float32)


def _neighbors(
    before: Evidence | None, motion: Motion, after: Evidence | None
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]]:
    """The log-odds of each neighbor, its gray image, and the flow to it from the frame with `motion`."""
    if before is not None and before.motion is not None and before.motion.flow is not None:
        yield before.log_odds, before.motion.gray, backward_flow(before.motion.flow)
    if after is not None and after.motion is not None and motion.flow is not None:
        yield after.log_odds, after.motion.gray, motion.flow


def match(gray: NDArray[np.uint8], warped: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Weight of each pixel of a neighbor, whose gray image is `warped` to `gray`: (h, w) float32; None beyond a cut."""
    difference = cv2.absdiff(gray, warped)
    if cv2.mean(difference)[0] > _CUT * cv2.meanStdDev(gray)[1].item():
        return None
    return np.asarray(cv2.LUT(difference, _WEIGHTS), np.float32)


def warp(image: NDArray[Any], flow: NDArray[np.float32]) -> NDArray[Any]:
    """Sample `image` (h, w) or (h, w, c) at each pixel's position plus `flow` (h, w, 2): bilinear, edges repeated."""
    positions = _grid(*flow.shape[:2]) + flow
    # One map of both coordinates (and None, which the stubs lack) takes half the time of two maps.
    warped = cv2.remap(image, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(warped)


def backward_flow(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Approximate flow t+1 -> t from the flow t -> t+1: (h, w, 2) px both.

    One fixed-point step of b(x) = -f(x + b(x)) from b = -f: 0.3 ms at 256x256. A second DIS call takes 7 ms, and the
    masks are no better.
    """
    return np.asarray(-warp(flow, -flow), np.float32)


@functools.lru_cache(maxsize=4)
def _grid(height: int, width: int) -> NDArray[np.float32]:
    """The position (x, y) of each pixel: (h, w, 2) float32."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
