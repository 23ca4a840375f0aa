"""The Middlebury color wheel: hue is the direction of motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _wheel() -> NDArray[np.uint8]:
    red, yellow, green = (255, 0, 0), (255, 255, 0), (0, 255, 0)
    cyan, blue, magenta = (0, 255, 255), (0, 0, 255), (255, 0, 255)
    hues = []
    for start, stop, steps in (
        (red, yellow, 15),
        (yellow, green, 6),
        (green, cyan, 4),
        (cyan, blue, 11),
        (blue, magenta, 13),
        (magenta, red, 6),
    ):
        for step in range(steps):
            ramp = 255 * step // steps
            hues.append([a if a == b else ramp if a < b else 255 - ramp for a, b in zip(start, stop, strict=True)])
    return np.array(hues, np.uint8)


COLOR_WHEEL = _wheel()
"""55 hues from red over yellow, green, cyan, blue and magenta, (55, 3) uint8 RGB."""
