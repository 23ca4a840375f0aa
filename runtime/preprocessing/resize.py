"""Resizing and normalization of images for a network, and upsampling of its masks."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from .bicubic import bicubic_matrix
from .spec import Preprocessing

# Output columns or rows per matrix product. Wider blocks multiply more zeros, narrower ones take more calls: with 8 and
# 16, 256x256 is made from 854x480 in 1.5 and 2.0 ms, and from 3840x2160 in 21 and 33 ms.
_BLOCK = 8
# Multiply-adds per product. OpenBLAS uses threads above 2^18, which compete with the network's: single calls took up to
# 100 ms on a busy machine. Small products also allocate little memory; page faults took a third of the time at 2^17.
_PRODUCT_MACS = 1 << 15

_Bands: TypeAlias = list[tuple[slice, slice, NDArray[Any]]]


class Bicubic:
    """Resize images as Pillow's `Image.resize(size, BICUBIC)` does, and as fast (854x480 to 384x384: 4 ms).

    Cubic convolution with a = -0.5, its support widened when shrinking (antialiased); first along the rows, rounded to
    8 bits, then along the columns. Pillow 7 to 12 use this order for all images, and the network was trained on their
    output. Pillow 13 shrinks tall images along the columns first, which changes a fifth of a portrait video's pixels,
    most of them by one gray level. Each pass is a few matrix products, one per block of outputs, over the inputs that
    the block depends on. At least 99.9 % of values are equal to Pillow's; none differs by more than 1 gray level.
    """

    def __init__(self, source_size: tuple[int, int], target_size: tuple[int, int]) -> None:
        """Sizes are (width, height) in pixels."""
        if min(*source_size, *target_size) < 1:
            raise ValueError(f"cannot resize {source_size} to {target_size}; expected (width, height) of at least 1x1")
        self.source_size = source_size
        self.target_size = target_size
        # float32 sums sometimes round a half to the other side. Shrinking rows reduces the effect; enlarging them can
        # amplify it to two gray levels (1 in 10^6 values). Small images use float64, which avoids it at little cost.
        self._dtype = np.dtype(np.float64 if target_size[1] > source_size[1] else np.float32)
        self._columns = _bands(source_size[0], target_size[0], self._dtype)
        self._rows = _bands(source_size[1], target_size[1], self._dtype)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize (H, W, 3) uint8 of the source size to (h, w, 3) uint8 of the target size. Raises ValueError."""
        (width, height), (target_width, target_height) = self.source_size, self.target_size
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise ValueError(f"image is {image.dtype} {image.shape}; expected uint8 {(height, width, 3)}")
        if self.source_size == self.target_size:
            return image
        narrow = np.empty((3, height, target_width), self._dtype)
        for strip in _strips(height, self._columns):
            pixels = np.ascontiguousarray(image[strip])
            planes = np.stack(cv2.split(pixels), dtype=self._dtype, casting="unsafe")  # (3, strip, W)
            for outputs, inputs, weights in self._columns:
                np.matmul(planes[:, :, inputs], weights.T, out=narrow[:, strip, outputs])
        np.floor(_to_gray_levels(narrow), out=narrow)

        resized = np.empty((target_height, target_width, 3), np.uint8)
        for strip in _strips(target_width, self._rows):
            small = np.empty((3, target_height, strip.stop - strip.start), self._dtype)
            for outputs, inputs, weights in self._rows:
                np.matmul(weights, narrow[:, inputs, strip], out=small[:, outputs])
            resized[:, strip] = cv2.merge(list(_to_gray_levels(small).astype(np.uint8)))
        return resized


def _to_gray_levels(values: NDArray[Any]) -> NDArray[Any]:
    """Add 0.5 and clip to 8 bits, in place: truncation then rounds half up, as in Pillow."""
    values += 0.5
    return np.clip(values, 0, 255, out=values)


@functools.lru_cache(maxsize=16)
def _bands(source: int, target: int, dtype: np.dtype[Any]) -> _Bands:
    """The matrix (target, source) of a bicubic pass as blocks of rows: (outputs, inputs, weights between them)."""
    matrix = bicubic_matrix(source, target)
    bands = []
    for start in range(0, target, _BLOCK):
        outputs = slice(start, min(start + _BLOCK, target))
        used = np.flatnonzero(matrix[outputs].any(axis=0))
        inputs = slice(int(used[0]), int(used[-1]) + 1)
        bands.append((outputs, inputs, np.ascontiguousarray(matrix[outputs, inputs], dtype)))
    return bands


def _strips(length: int, bands: _Bands) -> Iterator[slice]:
    """Split `length` rows or columns so that each product of a strip with a band stays below `_PRODUCT_MACS`."""
    step = max(1, _PRODUCT_MACS // max(weights.size for _, _, weights in bands))
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def normalize(image: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Normalize (h, w, 3) uint8 RGB to (1, 3, h, w) float32: (x / 255 - mean) / std in the network's channel order."""
    levels = np.arange(256) / 255
    planes = cv2.split(image)
    if preprocessing.channel_order == "BGR":
        planes = planes[::-1]
    batch = np.empty((1, 3, *image.shape[:2]), np.float32)
    for plane, mean, std, out in zip(planes, preprocessing.mean, preprocessing.std, batch[0], strict=True):
        # A table of the 256 results: 0.4 ms at 384x384, with equal precision; the formula takes 2.1 ms.
        cv2.LUT(plane, ((levels - mean) / std).astype(np.float32), dst=out)
    return batch


def network_input(image: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Resize and normalize (H, W, 3) uint8 RGB of any size to the network's input (1, 3, h, w) float32."""
    source_size = (image.shape[1], image.shape[0])
    if preprocessing.resize == "bilinear" and source_size != preprocessing.size:
        resized = cv2.resize(np.ascontiguousarray(image), preprocessing.size, interpolation=cv2.INTER_LINEAR)
        return normalize(np.asarray(resized, np.uint8), preprocessing)
    return normalize(Bicubic(source_size, preprocessing.size)(image), preprocessing)


def upsample_mask(mask: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize a mask (h, w) float32 to `size` (W, H), in [0, 1]: bilinear with half-pixel centers."""
    # Clipped while small: means of values in [0, 1] are in it, rounded ones too.
    return np.asarray(cv2.resize(np.clip(mask, 0, 1), size, interpolation=cv2.INTER_LINEAR), np.float32)
