"""The object cut out of a frame: opacity and foreground colors, computed once per frame for all writers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..frame import MaskFrame
from .foreground import estimate_foreground
from .matte import Matte


class Cutout:
    """Opacity and colors of the object in a frame. The results for the latest frame are kept."""

    def __init__(self, matte: Matte) -> None:
        self._matte = matte
        self._latest: MaskFrame | None = None
        self._alpha: NDArray[np.uint8] | None = None
        self._foreground: NDArray[np.uint8] | None = None

    def alpha(self, m: MaskFrame) -> NDArray[np.uint8]:
        """The matte, (H, W) uint8."""
        if self._alpha is None or m is not self._latest:
            self._latest, self._alpha, self._foreground = m, self._matte.of(m), None
        return self._alpha

    def foreground(self, m: MaskFrame) -> NDArray[np.uint8]:
        """The colors of the object without those of its background, (H, W, 3) uint8 RGB."""
        alpha = self.alpha(m)
        if self._foreground is None:
            self._foreground = estimate_foreground(m.frame.pixels, alpha)
        return self._foreground

    def rgba(self, m: MaskFrame) -> NDArray[np.uint8]:
        """Colors and opacity, not multiplied with each other ("straight"), (H, W, 4) uint8."""
        return np.dstack([self.foreground(m), self.alpha(m)])
