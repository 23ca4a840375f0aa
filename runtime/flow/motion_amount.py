"""Amount of motion in a video: the median length of its flow vectors, and how many of its frames are still."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frame import Frame

_MOVING = 1e-3  # of the longer side: 0.85 px at 854x480, above the flow of noise with a deviation of 3 gray levels
_STILL_FRAME = 1e-3  # share of moving vectors below which a frame is still
_STILL_VIDEO = 0.95  # share of still frames from which on hardly anything moves
_SHORTEST_PX, _BINS_PER_DECADE, _DECADES = 1e-3, 100, 8
_SAMPLES = 4096  # vectors of a frame: 0.1 ms


class MotionAmount:
    """Collects the flow of a video in a histogram of constant size, whose bins are 2.3 % wide."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS_PER_DECADE * _DECADES, np.int64)
        self._frames = self._still = 0

    def add(self, flow: NDArray[np.float32], frame: Frame) -> None:
        """Add the flow (h, w, 2) from `frame` to the next one, in pixels of `frame`; NaN is unknown and not counted."""
        step = max(1, int(np.sqrt(flow.shape[0] * flow.shape[1] / _SAMPLES)))
        u, v = cv2.split(np.ascontiguousarray(flow[step // 2 :: step, step // 2 :: step]))
        length_px = cv2.magnitude(u, v).ravel()
        length_px = length_px[np.isfinite(length_px)]
        if length_px.size == 0:
            return
        places = _BINS_PER_DECADE * np.log10(np.maximum(length_px, _SHORTEST_PX) / _SHORTEST_PX)
        self._counts += np.bincount(np.minimum(places.astype(int), len(self._counts) - 1), minlength=len(self._counts))
        self._frames += 1
        self._still += bool((length_px > _MOVING * max(frame.pixels.shape[:2])).mean() < _STILL_FRAME)

    @property
    def median_px(self) -> float | None:
        """The median length in pixels of the source per frame; None without flow vectors, 0 below 0.001."""
        if self._frames == 0:
            return None
        place = int(np.searchsorted(np.cumsum(self._counts), self._counts.sum() / 2))
        return round(float(_SHORTEST_PX * 10 ** ((place + 0.5) / _BINS_PER_DECADE)), 3) if place else 0.0

    @property
    def hardly_any(self) -> bool:
        """Whether nearly no pixel moves in nearly all frames."""
        return self._frames > 0 and self._still >= _STILL_VIDEO * self._frames
