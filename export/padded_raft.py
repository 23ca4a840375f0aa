"""RAFT for frames of any size: padded to multiples of 8 before it, cropped after it."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from ..models.raft import RAFT

_LEAST = 64  # side in pixels


class PaddedRAFT(nn.Module):
    """frame, next_frame (B, 3, H, W) RGB in [0, 1] -> flow (B, 2, H, W) in pixels.

    The border is repeated, by the same amount on both sides, as in the original scripts: RAFT's frames are not resized.
    """

    def __init__(self, raft: RAFT, size: tuple[int, int]) -> None:
        """`size` is (width, height), at least 1x1."""
        super().__init__()
        self.raft = raft
        self.width, self.height = size
        self.left, right = _margins(self.width)
        self.top, bottom = _margins(self.height)
        self.padding = (self.left, right, self.top, bottom)

    def forward(self, frame: Tensor, next_frame: Tensor) -> Tensor:
        flow: Tensor = self.raft(self._pad(frame), self._pad(next_frame))
        return flow[:, :, self.top : self.top + self.height, self.left : self.left + self.width]

    def _pad(self, frame: Tensor) -> Tensor:
        return F.pad(frame, self.padding, mode="replicate") if any(self.padding) else frame


def _margins(side: int) -> tuple[int, int]:
    total = max(math.ceil(side / 8) * 8, _LEAST) - side
    return total // 2, total - total // 2
