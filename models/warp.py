"""Backward warping of a feature map by a flow (PWC-Net, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """features (B, C, H, W), flow (B, 2, H, W) in pixels of this grid -> (B, C, H, W).

    out(x) = features(x + flow(x)), bilinear; zero where the neighbors that are inside the picture do not carry the
    whole weight (0.999 or less of it), as at the picture's edge.
    """
    height, width = features.shape[2:]
    x = torch.arange(width, dtype=flow.dtype, device=flow.device) + flow[:, 0]  # (B, H, W)
    y = torch.arange(height, dtype=flow.dtype, device=flow.device).unsqueeze(1) + flow[:, 1]
    grid = torch.stack((x * (2.0 / max(width - 1, 1)) - 1.0, y * (2.0 / max(height - 1, 1)) - 1.0), -1)
    sampled = F.grid_sample(features, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    # The weight inside has a closed form: no need to sample a picture of ones.
    inside = _weight_inside(x, width) * _weight_inside(y, height)
    return sampled * (inside > 0.999).unsqueeze(1)


def _weight_inside(position: Tensor, size: int) -> Tensor:
    return torch.minimum(position + 1, size - position).clamp(0, 1)


class Warp(nn.Module):
    """`warp` as a module, so that the exporter can put its operator there."""

    def forward(self, features: Tensor, flow: Tensor) -> Tensor:
        return warp(features, flow)
