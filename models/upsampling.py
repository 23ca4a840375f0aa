"""Upsampling between the levels of AMC-Net's decoders."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def upsample_twice(x: Tensor) -> Tensor:
    """Double height and width bilinearly, with the corners aligned: (B, C, H, W) -> (B, C, 2H, 2W)."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
