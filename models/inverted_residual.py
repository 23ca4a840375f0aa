"""Encoders of inverted residual blocks, with five outputs at strides 2, 4, 8, 16 and 32, built from a table.

All convolutions have a bias and no batch norm: the norms of the public weights are folded into the convolutions, and
stay folded in training. B is the batch size, C the number of channels, H and W the input's height and width.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

_STEM_CHANNELS = 32


class Group(NamedTuple):
    """Consecutive inverted residual blocks: `expansion`, output `channels`, number of blocks, `kernel` size (odd)."""

    expansion: int
    channels: int
    blocks: int
    kernel: int = 3


Stages = tuple[tuple[Group, ...], ...]
"""Groups of each of the five stages. The first block of the stages 1 to 4 has stride 2, all others 1."""


class InvertedResidual(nn.Module):
    """Inverted residual block: 1×1 expansion, depthwise k×k, 1×1 projection: (B, C, H, W) -> (B, out, H/s, W/s).

    k is the kernel size and s the stride; there is a shortcut where the shapes of input and output are equal.
    Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018.
    """

    def __init__(self, channels: int, out_channels: int, stride: int, expansion: int, kernel: int = 3) -> None:
        super().__init__()
        inner = expansion * channels
        self.expand = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.ReLU6()) if expansion > 1 else nn.Identity()
        # For stride 2 the originals pad one pixel less left and top. Symmetric padding needs no Pad operator; it shifts
        # the grid by one pixel of the finer level.
        depthwise = nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner)
        self.depthwise = nn.Sequential(depthwise, nn.ReLU6())
        self.project = nn.Conv2d(inner, out_channels, 1)
        self.shortcut = stride == 1 and channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.shortcut else out


def inverted_residual_stages(table: Stages) -> tuple[nn.ModuleList, tuple[int, ...]]:
    """Return the five stages of `table` and their channels. The output of stage i has stride 2^(i+1).

    Stage 0 begins with the stem, a 3×3 convolution of stride 2 from RGB to 32 channels.
    """
    stages = nn.ModuleList()
    channels = []
    before = _STEM_CHANNELS
    for level, groups in enumerate(table):
        layers: list[nn.Module] = [nn.Conv2d(3, before, 3, 2, 1), nn.ReLU6()] if level == 0 else []
        stride = 1 if level == 0 else 2
        for group in groups:
            for _ in range(group.blocks):
                layers.append(InvertedResidual(before, group.channels, stride, group.expansion, group.kernel))
                before, stride = group.channels, 1
        stages.append(nn.Sequential(*layers))
        channels.append(before)
    return stages, tuple(channels)
