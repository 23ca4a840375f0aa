"""PNG files with a palette, as the annotations of DAVIS-2017 are stored."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


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
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits, indexed, not interlaced
    chunks = {b"IHDR": header, b"PLTE": palette.tobytes(), b"IDAT": zlib.compress(rows.tobytes(), 1), b"IEND": b""}
    return _SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks.items())


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
