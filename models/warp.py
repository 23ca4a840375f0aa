"""Backward warping of a feature map by optical flow (PWC-Net: Sun et al., CVPR 2018, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Return out(x) = features(x + flow(x)), bilinearly interpolated.

    features: (B, C, H, W). flow: (B, 2, H, W), in pixels of this grid, x before y. Returns (B, C, H, W).
    out(x) is 0 where the interpolation weights of the neighbors inside the feature map sum to 0.999 or less, that is,
    where x + flow(x) lies outside.
    """
    height, width = features.shape[2:]
    x = torch.arange(width, dtype=flow.dtype, device=flow.device) + flow[:, 0]  # (B, H, W)
    y = torch.arange(height, dtype=flow.dtype, device=flow.device).unsqueeze(1) + flow[:, 1]
    grid = torch.stack((x * (2.0 / max(width - 1, 1)) - 1.0, y * (2.0 / max(height - 1, 1)) - 1.0), -1)
    sampled = F.grid_sample(features, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    # The sum of the weights has a closed form: sampling an image of ones is not needed.
    inside = _weight_inside(x, width) * _weight_inside(y, height)
    return sampled * (inside > 0.999).unsqueeze(1)


def _weight_inside(position: Tensor, size: int) -> Tensor:
    return torch.minimum(position + 1, size - position).clamp(0, 1)


class Warp(nn.Module):
    """`warp` as a module, which the exporter replaces by its operator."""

    def forward(self, features: Tensor, flow: Tensor) -> Tensor:
        return warp(features, flow)
