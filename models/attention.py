"""The attention operators of AMC-Net (Yang et al., ICCV 2021, section 3).

B batch, C channels, H and W the height and width of the level.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

Block = Callable[[int, int], nn.Sequential]  # channels, out_channels -> the layer that a decoder is made of


def conv_block(channels: int, out_channels: int) -> nn.Sequential:
    """3×3 convolution, batch norm and a PReLU of one slope: the layer that AMC-Net's decoder is made of."""
    return nn.Sequential(nn.Conv2d(channels, out_channels, 3, 1, 1), nn.BatchNorm2d(out_channels), nn.PReLU())


def separable_block(channels: int, out_channels: int) -> nn.Sequential:
    """The same reach at about a ninth of the cost: depthwise 3×3, 1×1, batch norm, leaky ReLU (MobileNet's factoring).

    Leaky, for the attention maps: their last convolution has no bias, and features that are nowhere negative cannot
    say "here" by a positive number and "not here" by a negative one; the maps stopped at 0.5.
    """
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False),
        nn.Conv2d(channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.LeakyReLU(0.1, inplace=True),
    )


class ChannelAttention(nn.Module):
    """(B, C, H, W) -> (B, C, 1, 1) in (0, 1): a shared perceptron on the mean and on the maximum of each channel."""

    def __init__(self, channels: int, least_hidden: int = 1) -> None:
        super().__init__()
        hidden = max(channels // 16, least_hidden)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu())
        peak = self.fc2(self.fc1(x.amax((2, 3), keepdim=True)).relu())
        return torch.sigmoid(mean + peak)


class SpatialAttention(nn.Module):
    """(B, C, H, W) -> (B, 1, H, W) in (0, 1): a 7×7 convolution over the mean and the maximum of all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.conv(torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)))


class CoAttentionGate(nn.Module):
    """Two feature maps (B, C, H, W) -> the same two, each scaled by one number in (0, 1) per picture.

    g = mean over pixels of sigmoid(conv(cat(image, flow))), of two channels; image · g₀, flow · g₁: the gate of the
    multi-modality co-attention gate (MCG), section 3.2.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], block: Block = conv_block) -> None:
        super().__init__()
        ends = (2 * channels, *widths)
        self.blocks = nn.Sequential(*(block(a, b) for a, b in pairwise(ends)))
        self.score = nn.Conv2d(ends[-1], 2, 3, 1, 1)

    def forward(self, image: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        features = self.blocks(torch.cat((image, flow), 1))  # (B, widths[-1], H, W)
        gate = torch.sigmoid(self.score(features)).mean((2, 3), keepdim=True)  # (B, 2, 1, 1)
        return image * gate[:, :1], flow * gate[:, 1:]


class MotionTransfer(nn.Module):
    """Image and flow features (B, C, H, W) -> image features to which the attended flow features are added (MCG)."""

    def __init__(self, channels: int, least_hidden: int = 1) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels, least_hidden)
        self.spatial = SpatialAttention()

    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
        flow = flow * self.channel(flow)
        attended: Tensor = flow * self.spatial(flow)
        return image + attended


class CoAttention(nn.Module):
    """Image and flow features (B, C, H, W) -> image features gathered by the flow's affinity to them, same shape.

    With the pixels as rows, softmax(F Iᵀ / sqrt(C)) I: each flow pixel asks, the image answers.
    """

    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
        pixels = image.flatten(2)  # (B, C, HW)
        affinity = flow.flatten(2).transpose(1, 2) @ pixels / math.sqrt(image.shape[1])  # (B, HW, HW)
        gathered = torch.softmax(affinity, -1) @ pixels.transpose(1, 2)  # (B, HW, C)
        return gathered.transpose(1, 2).reshape(image.shape)


class MotionCorrection(nn.Module):
    """Image, flow and coarser decoder features (B, C, H, W) -> decoder features (B, out, H, W) and the attention map.

    The flow branch, with the coarser features beside it, says where the object is (an attention map in (0, 1),
    (B, 1, H, W)), and the image branch is read there: the motion correction module (MCM), section 3.3. Without
    `attends` the image branch is read everywhere and there is no map (the ablation with fewer stacked MCMs).
    """

    def __init__(self, channels: int, attends: bool, block: Block = conv_block, least_hidden: int = 1) -> None:
        super().__init__()
        self.fuse_image = nn.Sequential(block(2 * channels, channels), block(channels, channels))
        self.attends = attends
        if attends:
            self.fuse_flow = nn.Sequential(block(2 * channels, channels), block(channels, channels))
            self.channel = ChannelAttention(channels, least_hidden)
            self.spatial = SpatialAttention()

    def forward(self, image: Tensor, flow: Tensor, coarser: Tensor) -> tuple[Tensor, Tensor | None]:
        appearance = self.fuse_image(torch.cat((image, coarser), 1))
        if not self.attends:
            return appearance + coarser, None
        motion = self.fuse_flow(torch.cat((flow, coarser), 1))
        attention = self.spatial(self.channel(motion) * motion)  # (B, 1, H, W)
        return attention * appearance + coarser, attention
