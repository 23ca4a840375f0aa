"""PNG files with a palette, as the annotations of DAVIS-2017 are stored."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from .png_chunks import png_file


def davis_palette() -> NDArray[np.uint8]:
    """The (256, 3) RGB colors of PASCAL VOC and DAVIS: the bits of an index, three at a time, from the highest down."""
    index = np.arange(256)
    colors = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= ((index >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colors


def palette_png(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """A PNG file whose pixels are `indices` (H, W) into `palette` (up to 256, 3) RGB."""
    height, width = indices.shape
    rows = np.zeros((height, 1 + width), np.uint8)  # each begins with the number of its filter, 0: none
    rows[:, 1:] = indices
    return png_file(zlib.compress(rows.tobytes(), 1), width=width, height=height, palette=palette.tobytes())
