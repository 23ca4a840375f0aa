"""Optical flow to a color image, the input of the network's flow stream: hue is direction, white is no motion."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .color_wheel import COLOR_WHEEL

# Pixels per strip: the float64 strips stay in the second-level cache (384x384: 2.5 ms, in one piece 5.1 ms).
_STRIP_PX = 1 << 14


# Per channel a look-up table from a hue's number to its value and to that of the next hue, in [0, 1]; cv2.LUT needs
# 256 entries. It takes 8 us for 16 k pixels, a numpy gather 60.
_HUE, _NEXT_HUE = np.zeros((2, 3, 256))
_HUE[:, : len(COLOR_WHEEL)] = COLOR_WHEEL.T / 255
_NEXT_HUE[:, : len(COLOR_WHEEL)] = np.roll(COLOR_WHEEL, -1, axis=0).T / 255


def color_flow(flow: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Color `flow` (H, W, 2) float32 px by the Middlebury wheel: (H, W, 3) uint8 RGB, white for zero motion.

    Vectors are divided by the length of the longest one in the image (+ 1e-5). The hue is interpolated on the wheel at
    atan2(-v, -u), the paleness is 1 - |flow|. An unknown vector (NaN, infinite, or with a square that overflows) counts
    as zero motion. Baker et al., A Database and Evaluation Methodology for Optical Flow, IJCV 2011.

    Every pixel equals flow_vis 0.1, with its types: float32 up to the position on the wheel, float64 for the colors. If
    rounding leaves the longest vector longer than 1, its pixel is darkened by a quarter, as in flow_vis.
    """
    if flow.ndim != 3 or flow.shape[2] != 2:
        raise ValueError(f"flow has the shape {flow.shape}; expected (H, W, 2)")
    u, v = cv2.split(np.ascontiguousarray(flow, np.float32))
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.sqrt(u * u + v * v)
    known = np.isfinite(length)
    if not known.all():
        for part in (u, v, length):
            part[~known] = 0
    longest = np.float32(length.max()) + np.float32(1e-5)

    image = np.empty((*u.shape, 3), np.uint8)
    rows = max(1, _STRIP_PX // u.shape[1])
    for top in range(0, len(u), rows):
        strip = slice(top, top + rows)
        image[strip] = _color_strip(u[strip] / longest, v[strip] / longest)
    return image


def _color_strip(u: NDArray[np.float32], v: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Color vectors that are at most about 1 long."""
    length = np.sqrt(u * u + v * v).astype(np.float64)
    position = np.arctan2(-v, -u) / np.float32(np.pi)  # [-1, 1]
    position += np.float32(1)
    position *= np.float32((len(COLOR_WHEEL) - 1) / 2)  # [0, 54]; flow_vis halves first, which rounds nothing
    hue = position.astype(np.uint8)
    towards_next = (position - hue).astype(np.float64)
    towards_hue = 1 - towards_next
    too_long = length > 1

    channels = []
    for table, next_table in zip(_HUE, _NEXT_HUE, strict=True):
        # In place, and in the reference's order of operations: any other order changes pixels.
        color = np.asarray(cv2.LUT(hue, table), np.float64)
        color *= towards_hue
        color_next = np.asarray(cv2.LUT(hue, next_table), np.float64)
        color_next *= towards_next
        color += color_next
        pale = 1 - color
        pale *= length
        np.subtract(1, pale, out=pale)
        if too_long.any():
            np.copyto(pale, color * 0.75, where=too_long)
        pale *= 255
        channels.append(pale.astype(np.uint8))  # truncates: the values are not negative
    return np.asarray(cv2.merge(channels), np.uint8)
