"""Region similarity J of one mask and its annotation.

F. Perazzi et al.: A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation, CVPR 2016.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .mask_iou import mask_iou


def region_similarity(mask: NDArray[np.bool_], annotation: NDArray[np.bool_]) -> float:
    """Return J = |mask ∩ annotation| / |mask ∪ annotation| of two (H, W) bool arrays, in [0, 1]; 1 if both empty."""
    return mask_iou(mask, annotation)
