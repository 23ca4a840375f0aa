"""Optical flow between two frames, computed as in deployment (DIS)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...runtime.flow.flow import DisFlow
from ...runtime.frame import Frame

GRID_PX = 384


def dis_flow(first: NDArray[np.uint8], second: NDArray[np.uint8], grid_px: int = GRID_PX) -> NDArray[np.float32]:
    """Return the DIS flow from `first` to `second`, (grid_px, grid_px, 2) float32 in px of the frames.

    first, second: (H, W, 3) uint8 RGB. grid_px: side length of the grid that the flow is computed on.
    """
    frames = [Frame(pixels, index=index, pts=index, pts_seconds=0.0) for index, pixels in enumerate((first, second))]
    with DisFlow((grid_px, grid_px)) as flow:
        return flow.flow(*frames)
