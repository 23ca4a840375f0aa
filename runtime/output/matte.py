"""Mattes: 8-bit opacity of the object, soft where the network is unsure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..frame import MaskFrame

_HALF = np.float32(127.5)


@dataclass(frozen=True)
class Matte:
    """Opacity rises from 0 at probability `low` to a half at `threshold` and to 1 at `high`, in two straight lines.

        matte = Matte.make(threshold=0.5)  # from 0.25 to 0.75
        alpha = matte.of(m)  # (H, W) uint8

    The matte is 128 or more exactly where the mask is set.
    """

    low: float
    threshold: float
    high: float

    @classmethod
    def make(cls, threshold: float = 0.5, soft_edges: tuple[float, float] | None = None) -> Matte:
        """`soft_edges` are `low` and `high`; None: half way from the threshold to 0 and to 1. Raises InputError."""
        low, high = soft_edges or (threshold / 2, (1 + threshold) / 2)
        if not 0 <= low < threshold < high <= 1:
            raise InputError(
                f"soft edges: got {low:g},{high:g} with threshold {threshold:g}; expected 0 <= LOW < threshold < HIGH "
                "<= 1. Fix: --soft-edges 0.25,0.75"
            )
        return cls(low, threshold, high)

    def of(self, m: MaskFrame) -> NDArray[np.uint8]:
        """The matte (H, W) of `m`. Where a CRF overruled the threshold, it is that of the mask: 0 or 255."""
        p, threshold = m.probability, np.float32(self.threshold)
        lower = (p - np.float32(self.low)) * (_HALF / np.float32(self.threshold - self.low))
        upper = (p - threshold) * (_HALF / np.float32(self.high - self.threshold))
        alpha = np.rint(np.clip(lower, 0, _HALF) + np.clip(upper, 0, _HALF)).astype(np.uint8)
        # Rounding alone could move a pixel at the threshold to the other side.
        alpha = np.asarray(np.where(m.mask, np.maximum(alpha, 128), np.minimum(alpha, 127)), np.uint8)
        overruled = m.mask != (p >= threshold)
        if overruled.any():
            alpha[overruled] = m.mask[overruled] * np.uint8(255)
        return alpha

    def frame_probability(self, alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A probability (H, W) whose matte is `alpha`."""
        level = np.arange(256) / 127.5
        below = self.low + level * (self.threshold - self.low)
        above = self.threshold + (level - 1) * (self.high - self.threshold)
        table = np.where(level < 1, below, above).astype(np.float32)
        return table[alpha]
