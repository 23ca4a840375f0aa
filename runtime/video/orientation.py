"""Rotation and mirroring that show the stored frames of a video upright."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import av
import numpy as np
from numpy.typing import NDArray

from .side_data import side_data


@dataclass(frozen=True)
class Orientation:
    """A display matrix: the stored (x, y) is shown at (a x + c y, b x + d y), up to a shift."""

    rotation: int  # as PyAV gives it; a cheap test for a change of the matrix
    a: int = 1
    b: int = 0
    c: int = 0
    d: int = 1

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Self:
        matrix = side_data(frame, "DISPLAYMATRIX")
        if matrix is None:
            cosine, sine = (round(part(math.radians(frame.rotation))) for part in (math.cos, math.sin))
            return cls(frame.rotation, cosine, -sine, sine, cosine)
        a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, np.int32)[:5])
        return cls(frame.rotation, a, b, c, d)

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The nearest of the eight ways to turn and mirror `pixels` (H, W, 3), as a view."""
        across, down = self.a, self.d
        if abs(self.b) + abs(self.c) > abs(self.a) + abs(self.d):
            pixels, across, down = pixels.swapaxes(0, 1), self.c, self.b
        return pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
