"""Cost volume of PWC-Net: correlation over small displacements (Sun et al., CVPR 2018, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def correlation(first: Tensor, second: Tensor, max_displacement: int = 4) -> Tensor:
    """Return the correlation of `first` and `second` for all displacements of at most d = max_displacement px.

    first, second: (B, C, H, W) -> (B, (2d+1)², H, W), where
    out[:, k](x) = mean over channels of first(x) · second(x + (dx, dy)), k = (dy + d)·(2d+1) + (dx + d), and 0 where
    x + (dx, dy) lies outside the feature map.
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
    """`correlation` as a module, which the exporter replaces by its operator."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return correlation(first, second)
