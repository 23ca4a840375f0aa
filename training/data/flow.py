"""The flow between two frames, as the deployed default computes it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...runtime.flow.flow import DisFlow
from ...runtime.frame import Frame

GRID_PX = 384


def dis_flow(first: NDArray[np.uint8], second: NDArray[np.uint8], grid_px: int = GRID_PX) -> NDArray[np.float32]:
    """first, second: (H, W, 3) uint8 RGB -> the flow between them, (grid, grid, 2) float32 in px of the frames."""
    frames = [Frame(pixels, index=index, pts=index, pts_seconds=0.0) for index, pixels in enumerate((first, second))]
    with DisFlow((grid_px, grid_px)) as flow:
        return flow.flow(*frames)
