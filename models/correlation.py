"""Correlation of two feature maps over small displacements, the cost volume of PWC-Net (section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def correlation(first: Tensor, second: Tensor, max_displacement: int = 4) -> Tensor:
    """first, second: (B, C, H, W) -> (B, (2d+1)², H, W), d = max_displacement.

    out[:, k] = mean over channels of first(x) · second(x + (dx, dy)), with k = (dy+d)·(2d+1) + (dx+d), and zero where
    x + (dx, dy) leaves the picture.
    """
    d = max_displacement
    height, width = first.shape[2:]
    padded = F.pad(second, (d, d, d, d))
    return torch.stack(
        [
            (first * padded[:, :, y : y + height, x : x + width]).mean(1)
            for y in range(2 * d + 1)
            for x in range(2 * d + 1)
        ],
        1,
    )


class Correlation(nn.Module):
    """`correlation` as a module, so that the exporter can put its operator there."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return correlation(first, second)
