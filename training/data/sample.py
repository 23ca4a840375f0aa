"""Training sample: a frame, its optical flow to another frame, and its mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A training sample.

    image: (H, W, 3) uint8 RGB. flow: (h, w, 2) float32, covering the whole image, in px of the image.
    mask: (H, W) uint8, 0 or 255.
    """

    image: NDArray[np.uint8]
    flow: NDArray[np.float32]
    mask: NDArray[np.uint8]
