"""Estimate of the object's own colors where its edge is mixed with the background."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_RADII_PX = (90, 6)  # of the two passes, as in the paper
_TINY = np.float32(1e-5)

Floats = NDArray[np.float32]


def estimate_foreground(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the foreground colors F (H, W, 3) of an image I = alpha F + (1 - alpha) B.

    pixels: I, (H, W, 3) uint8. alpha: (H, W) uint8, 255 is opaque. Where alpha is 255, F is I. Where it is 0, F is the
    color of the object nearby, or black.

    Blur-fusion (Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021): F and B are averaged with the
    weights alpha and 1 - alpha, then F is corrected by alpha times the remaining difference to I; once over 90 px and
    once over 6 px.
    """
    x, y, width, height = cv2.boundingRect(alpha)
    foreground = np.zeros_like(pixels)
    if width == 0:
        return foreground
    margin = _RADII_PX[0] // 2
    box = np.s_[max(0, y - margin) : y + height + margin, max(0, x - margin) : x + width + margin]
    image = pixels[box].astype(np.float32)  # (h, w, 3)
    share = alpha[box].astype(np.float32)[..., None] / np.float32(255)  # (h, w, 1)
    front = back = image
    for radius in _RADII_PX:
        front, back = _pass(image, share, front, back, radius)
    foreground[box] = np.rint(front).astype(np.uint8)
    return foreground


def _pass(image: Floats, share: Floats, front: Floats, back: Floats, radius: int) -> tuple[Floats, Floats]:
    near = _blur(share, radius)[..., None]
    front = _blur(front * share, radius) / (near + _TINY)
    back = _blur(back * (1 - share), radius) / (1 - near + _TINY)
    rest = image - share * front - (1 - share) * back
    return np.clip(front + share * rest, 0, 255), back


def _blur(values: Floats, radius: int) -> Floats:
    return np.asarray(cv2.blur(values, (radius, radius)), np.float32)
