"""Correlation of all pairs of pixels, and its lookup around coordinates (RAFT: Teed and Deng, ECCV 2020, section 3.2).

B is the batch size, C the number of channels, H and W the height and width of the feature maps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 4


def correlation_volumes(first: Tensor, second: Tensor) -> list[Tensor]:
    """Return the correlation of each pixel of `first` with all pixels of `second`, at four resolutions of `second`.

    first, second: (B, C, H, W). Level l is (B·H·W, 1, ⌊H/2^l⌋, ⌊W/2^l⌋): first(x) · second(y) / sqrt(C), averaged over
    2^l × 2^l pixels y. H and W are at least 8.
    """
    channels, height, width = first.shape[1:]
    rows = first.flatten(2).transpose(1, 2) / math.sqrt(channels)  # (B, HW, C)
    volumes = [(rows @ second.flatten(2)).reshape(-1, 1, height, width)]
    for _ in range(LEVELS - 1):
        volumes.append(F.avg_pool2d(volumes[-1], 2))
    return volumes


class CorrelationVolumes(nn.Module):
    """`correlation_volumes` as a module, which the exporter replaces by its operator."""

    def forward(self, first: Tensor, second: Tensor) -> list[Tensor]:
        return correlation_volumes(first, second)


def lookup(volumes: list[Tensor], coordinates: Tensor, offsets: Tensor) -> Tensor:
    """Return the correlations of each pixel with those around its coordinates in the second feature map.

    volumes: those of `correlation_volumes`. coordinates: (B, 2, H, W), x before y, in pixels of the second feature map.
    offsets: (K,), consecutive whole numbers such as -3 … 3. Returns (B, 4·K², H, W): channel (l·K + a)·K + b is level l
    at (x / 2^l + offsets[a], y / 2^l + offsets[b]), bilinearly interpolated, 0 outside. As in the original
    implementation, the offset that varies slowest is that of x.
    """
    batch, _, height, width = coordinates.shape
    count = offsets.shape[0]
    centers = coordinates.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)  # (BHW, 1, 1, 2)
    steps = torch.stack(torch.meshgrid(offsets, offsets, indexing="ij"), -1)  # (K, K, 2)
    found = []
    for level, volume in enumerate(volumes):
        # With half-pixel centers, because align_corners=True would divide by 0 for a side of 1.
        scale = offsets.new_tensor([2 / volume.shape[3], 2 / volume.shape[2]])
        grid = (centers / 2**level + steps + 0.5) * scale - 1  # (BHW, K, K, 2)
        found.append(F.grid_sample(volume, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
    stacked = torch.cat(found, 1).reshape(batch, height, width, LEVELS * count**2)
    return stacked.permute(0, 3, 1, 2)


class CorrelationLookup(nn.Module):
    """`lookup` with the offsets -radius … radius as a module, which the exporter replaces by its operator."""

    def __init__(self, radius: int) -> None:
        super().__init__()
        self.radius = radius

    def forward(self, volumes: list[Tensor], coordinates: Tensor) -> Tensor:
        offsets = torch.arange(-self.radius, self.radius + 1, dtype=coordinates.dtype, device=coordinates.device)
        return lookup(volumes, coordinates, offsets)
