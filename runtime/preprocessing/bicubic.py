"""Antialiased bicubic resampling as a matrix, shared by the runtime and pipeline.onnx."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def bicubic_matrix(source: int, target: int) -> NDArray[np.float32]:
    """Matrix (target, source) float32, banded, that resizes a row of `source` pixels as Pillow's BICUBIC does.

    Cubic convolution with a = -0.5, its support widened when shrinking (antialiased), each row summing to 1.
    """
    scale = source / target
    widening = max(scale, 1.0)
    center = (np.arange(target) + 0.5)[:, None] * scale
    position = np.arange(source)
    distance = np.abs(position + 0.5 - center) / widening
    weights = np.where(
        distance < 1,
        (1.5 * distance - 2.5) * distance**2 + 1,
        ((-0.5 * distance + 2.5) * distance - 4) * distance + 2,
    )
    # Pillow rounds the support to whole pixels before the normalization.
    first = np.maximum((center - 2 * widening + 0.5).astype(int), 0)
    last = np.minimum((center + 2 * widening + 0.5).astype(int), source)
    weights = np.where((position >= first) & (position < last) & (distance < 2), weights, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    # Pillow's weights are multiples of 2^-22, which float32 represents exactly. Without this, 140 times as many pixels
    # differ when 384 is enlarged to 854, where many sums are exactly one half.
    exact: NDArray[np.float32] = (np.rint(weights * 2**22) / 2**22).astype(np.float32)
    return exact
