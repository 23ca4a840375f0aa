"""RAFT: optical flow between two frames, in its small and large form.

Z. Teed, J. Deng: RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020. B is the batch size, H and W
the input's height and width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .correlation_volume import LEVELS, CorrelationLookup, CorrelationVolumes
from .raft_encoder import RAFTEncoder, bottleneck, residual
from .raft_update import RAFTUpdate


@dataclass(frozen=True, kw_only=True)
class RAFTConfig:
    """Architecture of a RAFT, and its number of iterations.

    large: the paper's network (5.3 M parameters) in place of its small one (1 M). iterations: corrections of the flow,
    at least 1; the paper's networks were trained with 12. More take proportionally longer.
    Raises ValueError for other values.
    """

    large: bool = False
    iterations: int = 12

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"iterations is {self.iterations}; expected at least 1")


class RAFT(nn.Module):
    """Optical flow from `frame` to `next_frame`.

    frame, next_frame: (B, 3, H, W) float32 RGB in [0, 1]; H and W are multiples of 8, at least 64.
    Returns the flow (B, 2, H, W), x before y, in pixels of the input. Below 128 the original implementation returns
    NaN, because it divides by the sides of the coarsest correlation volume minus 1; here the formula holds down to 64.
    Raises ValueError for another type or shape.

        network = load_raft("raft-small.pth", iterations=6)
        flow = network(frame, next_frame)
    """

    def __init__(self, config: RAFTConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or RAFTConfig()
        self.hidden, context, radius = (128, 128, 4) if config.large else (96, 64, 3)
        if config.large:
            widths, block = (64, 96, 128), residual
            self.features = RAFTEncoder(widths, 256, nn.InstanceNorm2d, block)
            self.context = RAFTEncoder(widths, self.hidden + context, nn.BatchNorm2d, block)
        else:
            widths, block = (32, 64, 96), bottleneck
            self.features = RAFTEncoder(widths, 128, nn.InstanceNorm2d, block)
            self.context = RAFTEncoder(widths, self.hidden + context, nn.Identity, block)
        self.volumes = CorrelationVolumes()
        self.lookup = CorrelationLookup(radius)
        self.update = RAFTUpdate(config.large, self.hidden, context, LEVELS * (2 * radius + 1) ** 2)

    def forward(self, frame: Tensor, next_frame: Tensor) -> Tensor:
        if frame.dtype != torch.float32 or frame.ndim != 4 or frame.shape[1] != 3:
            raise ValueError(f"frame is {frame.dtype} {tuple(frame.shape)}; expected torch.float32 (B, 3, H, W)")
        if next_frame.shape[1:] != frame.shape[1:]:  # an exported batch is free, and cannot be compared
            raise ValueError(f"next_frame is {tuple(next_frame.shape)}; expected {tuple(frame.shape)}, as frame")
        height, width = frame.shape[2:]
        if height % 8 or width % 8 or min(height, width) < 64:
            raise ValueError(f"frame is {width}x{height}; expected multiples of 8, at least 64")
        frame, next_frame = 2 * frame - 1, 2 * next_frame - 1
        volumes = self.volumes(self.features(frame), self.features(next_frame))
        state = self.context(frame)  # (B, hidden + context, H/8, W/8)
        hidden, context = torch.tanh(state[:, : self.hidden]), torch.relu(state[:, self.hidden :])
        start = _pixel_coordinates(hidden)
        coordinates = start.expand(frame.shape[0], -1, -1, -1)
        for _ in range(self.config.iterations):
            correlation = self.lookup(volumes, coordinates)
            hidden, correction = self.update(hidden, context, correlation, coordinates - start)
            coordinates = coordinates + correction
        flow = coordinates - start  # (B, 2, H/8, W/8), in pixels of this grid
        if self.config.large:
            return convex_upsample(flow, 0.25 * self.update.mask(hidden))
        return 8 * F.interpolate(flow, size=(height, width), mode="bilinear", align_corners=True)


def convex_upsample(flow: Tensor, logits: Tensor) -> Tensor:
    """Upsample flow by 8: each fine vector is a convex combination of the 3×3 coarse ones around it (section 3.3).

    flow: (B, 2, h, w), in pixels of this grid. logits: (B, 576, h, w); channel (n·8 + i)·8 + j is the logit of the
    coarse neighbor n for the fine pixel (8y + i, 8x + j). Returns (B, 2, 8h, 8w), in pixels of the fine grid.
    """
    batch, _, height, width = flow.shape
    weights = torch.softmax(logits.reshape(batch, 1, 9, 64, height, width), 2)
    padded = F.pad(8 * flow, (1, 1, 1, 1))
    neighbors = torch.stack(
        [padded[:, :, y : y + height, x : x + width] for y in range(3) for x in range(3)], 2
    )  # (B, 2, 9, h, w)
    fine = (weights * neighbors.unsqueeze(3)).sum(2)  # (B, 2, 64, h, w)
    fine = fine.reshape(batch, 2, 8, 8, height, width).permute(0, 1, 4, 2, 5, 3)
    return fine.reshape(batch, 2, 8 * height, 8 * width)


def _pixel_coordinates(features: Tensor) -> Tensor:
    """Return the coordinates of the pixels of a feature map (B, C, h, w): (1, 2, h, w), x before y."""
    height, width = features.shape[2:]
    x = torch.arange(width, dtype=features.dtype, device=features.device).expand(height, width)
    y = torch.arange(height, dtype=features.dtype, device=features.device).unsqueeze(1).expand(height, width)
    return torch.stack((x, y))[None]
