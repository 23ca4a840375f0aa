"""Frames at the size of a network, each reduced once for all that need it."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from ..frame import Frame
from .resize import reduce_image


class ReducedFrames:
    """The pixels of frames, reduced to one size; those of the latest two frames are kept.

    reduced = ReducedFrames((256, 256))
    reduced(frame)  # (256, 256, 3) uint8 RGB
    """

    def __init__(self, size: tuple[int, int]) -> None:
        """`size` is (width, height) in pixels."""
        self.size = size
        self._kept: deque[tuple[Frame, NDArray[np.uint8]]] = deque(maxlen=2)  # flow is between two frames

    def __call__(self, frame: Frame) -> NDArray[np.uint8]:
        """The pixels of `frame` as `reduce_image` gives them: (h, w, 3) uint8 RGB."""
        for kept, pixels in self._kept:
            if kept is frame:
                return pixels
        pixels = reduce_image(frame.pixels, self.size)
        self._kept.append((frame, pixels))
        return pixels
