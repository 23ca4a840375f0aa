"""The box and the area of a mask, and lines of CSV with them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frame import MaskFrame

BOXES_HEADER = "frame,seconds,x,y,width,height,area"


def box_and_area(mask: NDArray[np.bool_]) -> tuple[list[int], int]:
    """[x, y, width, height] of `mask` (H, W) and the number of its pixels, all in px; zeros for an empty mask."""
    inside = np.ascontiguousarray(mask).view(np.uint8)
    return [int(value) for value in cv2.boundingRect(inside)], int(cv2.countNonZero(inside))


def boxes_line(m: MaskFrame) -> str:
    """A line of CSV under `BOXES_HEADER`; without an object the box is left blank and the area 0."""
    box, area = box_and_area(m.mask)
    return ",".join(map(str, [m.index, round(m.pts_seconds, 6), *(box if area else [""] * 4), area]))
