"""What training learns from: a frame, its flow to another frame, and the mask of the object in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Sample:
    """image: (H, W, 3) uint8 RGB; flow: (h, w, 2) float32 over the same extent, in px of the image's grid;
    mask: (H, W) uint8, 0 or 255.
    """

    image: NDArray[np.uint8]
    flow: NDArray[np.float32]
    mask: NDArray[np.uint8]
