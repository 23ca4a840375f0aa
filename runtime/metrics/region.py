"""J, the region similarity of one mask and its annotation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .mask_iou import mask_iou


def region_similarity(mask: NDArray[np.bool_], annotation: NDArray[np.bool_]) -> float:
    """J = |mask ∩ annotation| / |mask ∪ annotation| of two (H, W) bool arrays, in [0, 1]; 1 where both are empty."""
    return mask_iou(mask, annotation)
