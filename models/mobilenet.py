"""MobileNetV2 (Sandler et al., CVPR 2018) as an encoder with five outputs, at strides 2, 4, 8, 16 and 32.

All convolutions have a bias and no batch norm: the norms of the public weights are folded into the convolutions, and
stay folded in training. B is the batch size, C the number of channels, H and W the input's height and width.
"""

from __future__ import annotations

from torch import Tensor, nn

# Groups of inverted residuals per stage: expansion, channels, repeats. The first block of a stage has stride 2.
STAGES = (
    ((1, 16, 1),),
    ((6, 24, 2),),
    ((6, 32, 3),),
    ((6, 64, 4), (6, 96, 3)),
    ((6, 160, 3), (6, 320, 1)),
)


class InvertedResidual(nn.Module):
    """Inverted residual block: 1×1 expansion, depthwise 3×3, 1×1 projection: (B, C, H, W) -> (B, out, H/s, W/s).

    s is the stride; there is a shortcut where the shapes of input and output are equal.
    """

    def __init__(self, channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = expansion * channels
        self.expand = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.ReLU6()) if expansion > 1 else nn.Identity()
        # For stride 2 the original pads right and bottom only. Symmetric padding needs no Pad operator; it shifts the
        # grid by one pixel of the finer level.
        self.depthwise = nn.Sequential(nn.Conv2d(inner, inner, 3, stride, 1, groups=inner), nn.ReLU6())
        self.project = nn.Conv2d(inner, out_channels, 1)
        self.shortcut = stride == 1 and channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.shortcut else out


def mobilenet_v2_stages() -> tuple[nn.ModuleList, tuple[int, ...]]:
    """Return the five stages and their channels (16, 24, 32, 96, 320). The output of stage i has stride 2^(i+1)."""
    stages = nn.ModuleList()
    channels = []
    before = 32
    for level, groups in enumerate(STAGES):
        layers: list[nn.Module] = [nn.Conv2d(3, before, 3, 2, 1), nn.ReLU6()] if level == 0 else []
        stride = 1 if level == 0 else 2
        for expansion, width, repeats in groups:
            for _ in range(repeats):
                layers.append(InvertedResidual(before, width, stride, expansion))
                before, stride = width, 1
        stages.append(nn.Sequential(*layers))
        channels.append(before)
    return stages, tuple(channels)
