"""Encoders of RAFT: an image -> a feature map at stride 8 (Teed and Deng, ECCV 2020, appendix).

B is the batch size, C the number of channels, H and W the input's height and width.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Norm = Callable[[int], nn.Module]  # channels -> the norm after a convolution
Block = Callable[[int, int, int, Norm], nn.Module]  # channels, width, stride, norm -> a residual block


class RAFTEncoder(nn.Module):
    """(B, 3, H, W) -> (B, out_channels, H/8, W/8): a 7×7 stem, two blocks at each of the strides 2, 4 and 8, a 1×1."""

    def __init__(self, widths: tuple[int, int, int], out_channels: int, norm: Norm, block: Block) -> None:
        super().__init__()
        before = widths[0]
        self.stem = nn.Sequential(nn.Conv2d(3, before, 7, 2, 3), norm(before), nn.ReLU(inplace=True))
        blocks: list[nn.Module] = []
        for width, stride in zip(widths, (1, 2, 2), strict=True):
            blocks += [block(before, width, stride, norm), block(width, width, 1, norm)]
            before = width
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Conv2d(before, out_channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.output(self.blocks(self.stem(image)))
        return features


class _Residual(nn.Module):
    """(B, C, H, W) -> (B, width, H/stride, W/stride): relu(x + convolutions(x)), with a ReLU after each convolution."""

    def __init__(self, convs: list[nn.Sequential], shortcut: nn.Module) -> None:
        super().__init__()
        self.convs = nn.Sequential(*convs)
        self.shortcut = shortcut
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.shortcut(x) + self.convs(x))
        return out


def residual(channels: int, width: int, stride: int, norm: Norm) -> nn.Module:
    """Return the block of the large network: two 3×3 convolutions."""
    convs = [_conv(channels, width, 3, stride, norm), _conv(width, width, 3, 1, norm)]
    return _Residual(convs, _shortcut(channels, width, stride, norm))


def bottleneck(channels: int, width: int, stride: int, norm: Norm) -> nn.Module:
    """Return the block of the small network: 1×1 to a quarter of the channels, 3×3, 1×1."""
    inner = width // 4
    convs = [_conv(channels, inner, 1, 1, norm), _conv(inner, inner, 3, stride, norm), _conv(inner, width, 1, 1, norm)]
    return _Residual(convs, _shortcut(channels, width, stride, norm))


def _conv(channels: int, out_channels: int, kernel: int, stride: int, norm: Norm) -> nn.Sequential:
    conv = nn.Conv2d(channels, out_channels, kernel, stride, kernel // 2)
    return nn.Sequential(conv, norm(out_channels), nn.ReLU(inplace=True))


def _shortcut(channels: int, width: int, stride: int, norm: Norm) -> nn.Module:
    if stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride), norm(width))
