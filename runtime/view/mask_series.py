"""Area and steadiness of the masks of a run, frame by frame, and the least steady frames."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..metrics.mask_iou import mask_iou
from ..output.mask_files import read_mask

_WORST = 6
_LONGER_SIDE_PX = 480


@dataclass(frozen=True, kw_only=True)
class MaskSeries:
    """Measures of each frame. `size` is that of the first mask, (width, height) in pixels.

    `areas` are shares of the image inside the mask, in [0, 1]. `steadiness` is the IoU of each mask with the mask
    before it, in [0, 1]; None for the first frame and where the size of the image changes.
    """

    size: tuple[int, int]
    areas: list[float]
    steadiness: list[float | None]

    @classmethod
    def read(cls, files: Sequence[Path]) -> MaskSeries:
        """Measure the masks in `files`, which are kept in memory two at a time. Raises InputError."""
        areas: list[float] = []
        steadiness: list[float | None] = []
        before, size = None, (0, 0)
        for file in files:
            mask = read_mask(file)
            same_size = before is not None and before.shape == mask.shape
            steadiness.append(mask_iou(before, mask) if before is not None and same_size else None)
            areas.append(float(mask.mean()))
            size = size if before is not None else (mask.shape[1], mask.shape[0])
            before = mask
        return cls(size=size, areas=areas, steadiness=steadiness)

    @property
    def mean_steadiness(self) -> float | None:
        """The mean IoU of consecutive masks; None for a single mask."""
        values = [value for value in self.steadiness if value is not None]
        return float(np.mean(values)) if values else None

    def least_steady(self) -> list[int]:
        """The frames with the lowest steadiness, the lowest first; at most 6, and of neighbors the lowest alone."""
        order = sorted((value, frame) for frame, value in enumerate(self.steadiness) if value is not None and value < 1)
        apart = max(2, len(self.steadiness) // 50)
        found: list[int] = []
        for _, frame in order:
            if len(found) < _WORST and all(abs(frame - other) >= apart for other in found):
                found.append(frame)
        return found


def small_mask(path: Path) -> str:
    """The mask in `path` as a base64 PNG of one bit per pixel, at most 480 pixels a side. Raises InputError."""
    mask = read_mask(path)
    height, width = mask.shape
    scale = min(1.0, _LONGER_SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(mask.view(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA)
    small = (small >= 128) * np.uint8(255)
    _, png = cv2.imencode(".png", small, [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 9])
    return base64.b64encode(png.tobytes()).decode()
