"""Boundary accuracy F of one mask and its annotation.

F. Perazzi et al.: A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation, CVPR 2016.
"""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
from numpy.typing import NDArray

# Largest distance of matching boundary pixels, as a fraction of the image diagonal: 8 px at 854×480.
TOLERANCE = 0.008


def boundary_accuracy(mask: NDArray[np.bool_], annotation: NDArray[np.bool_]) -> float:
    """Return F = 2PR / (P + R) of the boundaries of two (H, W) bool arrays, in [0, 1].

    Precision P is the fraction of the mask's boundary pixels within TOLERANCE of the annotation's boundary; recall R
    is the converse. F is 1 if neither has a boundary, 0 if only one has.
    """
    of_mask, of_annotation = boundary_map(mask), boundary_map(annotation)
    if not of_mask.any() or not of_annotation.any():
        return float(of_mask.any() == of_annotation.any())
    # Pixels outside the bounding box of both boundaries cannot match: cropping takes 1.0 ms per 480p pair, not 4.6.
    x, y, width, height = cv2.boundingRect(of_mask | of_annotation)
    of_mask, of_annotation = (b[y : y + height, x : x + width] for b in (of_mask, of_annotation))
    disk = _disk(math.ceil(TOLERANCE * math.hypot(*mask.shape)))
    precision = _share_near(of_mask, of_annotation, disk)
    recall = _share_near(of_annotation, of_mask, disk)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary_map(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the boundary of an (H, W) bool array as (H, W) uint8, 0 or 1.

    A boundary pixel differs from its right, lower or lower right neighbor. The last row and column have fewer
    neighbors, so the image border is not a boundary.
    """
    region = mask.view(np.uint8)
    boundary = np.zeros_like(region)
    boundary[:, :-1] |= region[:, :-1] ^ region[:, 1:]
    boundary[:-1] |= region[:-1] ^ region[1:]
    boundary[:-1, :-1] |= region[:-1, :-1] ^ region[1:, 1:]
    return boundary


def _share_near(boundary: NDArray[np.uint8], other: NDArray[np.uint8], disk: NDArray[np.uint8]) -> float:
    return cv2.countNonZero(cv2.bitwise_and(boundary, cv2.dilate(other, disk))) / cv2.countNonZero(boundary)


@functools.cache
def _disk(radius_px: int) -> NDArray[np.uint8]:
    offset = np.arange(-radius_px, radius_px + 1)
    return (offset[:, None] ** 2 + offset**2 <= radius_px**2).astype(np.uint8)
