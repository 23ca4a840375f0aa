"""Intersection over union of two masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mask_iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return |first ∩ second| / |first ∪ second| of two bool arrays of equal shape, in [0, 1]; 1 if both are empty."""
    union = int(np.count_nonzero(first | second))
    return int(np.count_nonzero(first & second)) / union if union else 1.0
