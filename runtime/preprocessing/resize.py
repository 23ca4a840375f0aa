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
# 100 ms on a busy machine. Half of this takes a seventh more time at 3840x2160: BLAS copies the weights in each call.
_PRODUCT_MACS = 1 << 17

# Means of 2x2 pixels are a small part of the bicubic kernel then, whose support is 32 pixels wide or more: 3840x2160 to
# 256x256 takes 14 ms in place of 36. In a frame of the demo footage no value differs by more than 1 gray level, and in
# noise by more than 3.
_HALVED_FROM = 8

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
        # Rows of all channels one below the other: a product has three times as many rows as with a plane per channel.
        narrow = np.empty((height, 3, target_width), self._dtype)
        strips = list(_strips(height, self._columns, channels=3))
        planes = np.empty((strips[0].stop, 3, width), self._dtype)  # one for all strips: fresh memory costs page faults
        for strip in strips:
            rows = planes[: strip.stop - strip.start]
            for channel, plane in enumerate(cv2.split(np.ascontiguousarray(image[strip]))):
                rows[:, channel] = plane
            stacked, narrow_rows = rows.reshape(-1, width), narrow[strip].reshape(-1, target_width)
            for outputs, inputs, weights in self._columns:
                np.matmul(stacked[:, inputs], weights.T, out=narrow_rows[:, outputs])
        np.floor(_to_gray_levels(narrow), out=narrow)

        small = np.empty((target_height, 3, target_width), self._dtype)
        for strip in _strips(target_width, self._rows):
            for outputs, inputs, weights in self._rows:
                for channel in range(3):
                    np.matmul(weights, narrow[inputs, channel, strip], out=small[outputs, channel, strip])
        levels = _to_gray_levels(small).astype(np.uint8)
        return np.asarray(cv2.merge([levels[:, channel] for channel in range(3)]), np.uint8)


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


def _strips(length: int, bands: _Bands, channels: int = 1) -> Iterator[slice]:
    """Split `length` rows or columns so that each product of a strip with a band stays below `_PRODUCT_MACS`."""
    step = max(1, _PRODUCT_MACS // (channels * max(weights.size for _, _, weights in bands)))
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def reduce_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (H, W, 3) uint8 to `size` (w, h) by `Bicubic`, halved first from `_HALVED_FROM` times that size on."""
    height, width = image.shape[:2]
    is_even = height % 2 == width % 2 == 0
    if is_even and width >= _HALVED_FROM * size[0] and height >= _HALVED_FROM * size[1]:
        half = cv2.resize(np.ascontiguousarray(image), (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        return reduce_image(np.asarray(half, np.uint8), size)
    return Bicubic((width, height), size)(image)


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
    if preprocessing.resize == "bilinear" and image.shape[1::-1] != preprocessing.size:
        resized = cv2.resize(np.ascontiguousarray(image), preprocessing.size, interpolation=cv2.INTER_LINEAR)
        return normalize(np.asarray(resized, np.uint8), preprocessing)
    return normalize(reduce_image(image, preprocessing.size), preprocessing)


def upsample_mask(mask: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize a mask (h, w) float32 to `size` (W, H), in [0, 1]: bilinear with half-pixel centers."""
    # Clipped while small: means of values in [0, 1] are in it, rounded ones too.
    return np.asarray(cv2.resize(np.clip(mask, 0, 1), size, interpolation=cv2.INTER_LINEAR), np.float32)
