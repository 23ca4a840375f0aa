"""ResNet encoders (He et al., CVPR 2016) with five outputs, at strides 2, 4, 8, 16 and 32, and a PReLU stem.

B is the batch size, C the number of channels, H and W the input's height and width.
"""

from __future__ import annotations

from torch import Tensor, nn

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}


class BasicBlock(nn.Module):
    """(B, C, H, W) -> (B, width, H/stride, W/stride): two 3×3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(channels, width, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        return self.relu(residual + (x if self.downsample is None else self.downsample(x)))  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """(B, C, H, W) -> (B, 4·width, H/stride, W/stride): 1×1, 3×3 (with the stride), 1×1 and a shortcut."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(channels, 4 * width, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        return self.relu(residual + (x if self.downsample is None else self.downsample(x)))  # type: ignore[no-any-return]


def _shortcut(channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


def resnet_stages(name: str) -> tuple[nn.ModuleList, tuple[int, ...]]:
    """Return the five stages of the encoder `name` (a key of BLOCKS) and their channels.

    The channels are 64, 64, 128, 256, 512 for ResNet-18 and -34, and 64, 256, 512, 1024, 2048 for ResNet-50 and -101.
    Stage 0 is the 7×7 stem, with a scalar PReLU instead of ReLU as in AMC-Net; stage 1 begins with the 3×3 max pooling.
    The output of stage i has stride 2^(i+1).
    """
    block = BasicBlock if name in ("resnet18", "resnet34") else Bottleneck
    stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.PReLU())
    stages = nn.ModuleList([stem])
    channels = [64]
    for level, (count, width) in enumerate(zip(BLOCKS[name], (64, 128, 256, 512), strict=True)):
        layers: list[nn.Module] = [nn.MaxPool2d(3, 2, 1)] if level == 0 else []
        before = channels[-1]
        for index in range(count):
            layers.append(block(before, width, 2 if index == 0 and level > 0 else 1))
            before = width * block.expansion
        stages.append(nn.Sequential(*layers))
        channels.append(before)
    return stages, tuple(channels)
