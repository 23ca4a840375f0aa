"""The overlay and the contours: the source video with the masks drawn over it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frame import SourceInfo
from .video_writer import VideoWriter

# (3, 4): half of the pixel plus half of the tint, for homogeneous RGB. cv2.transform takes a sixth of the time of a
# three-channel look-up table.
_TO_TINT = np.array([[0.5, 0, 0, 127.5], [0, 0.5, 0, 16], [0, 0, 0.5, 32]], np.float32)
_CONTOUR_RGB = (0, 255, 0)


def blend(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Tint `pixels` (H, W, 3) RGB half red where `mask` (H, W) holds, with a white line just inside its edge.

    Returns a new array; outside the mask nothing changes. 0.3 ms at 854x480 with a tenth of it inside.
    """
    blended = pixels.copy()
    inside = np.ascontiguousarray(mask).view(np.uint8)
    x, y, width, height = cv2.boundingRect(inside)
    if width == 0:
        return blended
    line = _line_px(mask)
    # One line's width more on each side, so that the mask's edge becomes a line; at the image's border there is none.
    box = np.s_[max(0, y - line) : y + height + line, max(0, x - line) : x + width + line]
    inside = inside[box]  # (h, w)
    edge = inside - cv2.erode(inside, np.ones((3, 3), np.uint8), iterations=line)
    tinted = blended[box].copy()  # (h, w, 3)
    cv2.copyTo(cv2.transform(tinted, _TO_TINT), inside, tinted)
    blended[box] = cv2.max(tinted, cv2.merge([edge * np.uint8(255)] * 3))
    return blended


def draw_contours(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """`pixels` (H, W, 3) RGB with a green line just inside the edge of `mask` (H, W), twice as wide as that of `blend`.

    Returns a new array; nothing but the line changes.
    """
    drawn = pixels.copy()
    inside = np.ascontiguousarray(mask).view(np.uint8)
    edge = inside - cv2.erode(inside, np.ones((3, 3), np.uint8), iterations=2 * _line_px(mask))
    drawn[edge.view(np.bool_)] = _CONTOUR_RGB
    return drawn


def _line_px(mask: NDArray[np.bool_]) -> int:
    shorter: int = min(mask.shape)
    return max(1, round(shorter / 400))  # 1 at 480p, 3 at 1080p, 5 at 2160p


class OverlayWriter(VideoWriter):
    """Writes the overlay: `with OverlayWriter(path, info) as overlay: overlay.write(m)`."""

    def __init__(self, path: Path, info: SourceInfo) -> None:
        super().__init__(path, info, lambda m: blend(m.frame.pixels, m.mask), name="overlay")


class ContoursWriter(VideoWriter):
    """Writes the video with the outline of the object alone."""

    def __init__(self, path: Path, info: SourceInfo) -> None:
        super().__init__(path, info, lambda m: draw_contours(m.frame.pixels, m.mask), name="contours video")
