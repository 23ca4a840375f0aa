"""Attention modules of AMC-Net (Yang et al., ICCV 2021, section 3).

B is the batch size, C the number of channels, H and W the height and width of the level.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

Block = Callable[[int, int], nn.Sequential]  # channels, out_channels -> a layer of the decoder


def conv_block(channels: int, out_channels: int) -> nn.Sequential:
    """Return a 3×3 convolution, batch norm and a PReLU with one slope, the layer of the paper's decoder."""
    return nn.Sequential(nn.Conv2d(channels, out_channels, 3, 1, 1), nn.BatchNorm2d(out_channels), nn.PReLU())


def separable_block(channels: int, out_channels: int) -> nn.Sequential:
    """Return a depthwise-separable layer: depthwise 3×3, 1×1, batch norm, leaky ReLU (MobileNet).

    It has the receptive field of `conv_block` at about a ninth of the multiply-adds. The ReLU is leaky because the last
    convolution of an attention map has no bias: its logits need negative inputs, and with ReLU the maps stayed at 0.5.
    """
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False),
        nn.Conv2d(channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.LeakyReLU(0.1, inplace=True),
    )


class ChannelAttention(nn.Module):
    """Channel attention (CBAM): (B, C, H, W) -> (B, C, 1, 1) in (0, 1).

    sigmoid(MLP(mean over pixels) + MLP(maximum over pixels)), with one MLP of C/16 hidden channels, or `least_hidden`
    if that is more.
    """

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
    """Spatial attention (CBAM): (B, C, H, W) -> (B, 1, H, W) in (0, 1).

    sigmoid(conv7×7(cat(mean over channels, maximum over channels))).
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.conv(torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)))


class CoAttentionGate(nn.Module):
    """Gate of the multi-modality co-attention gate (MCG, section 3.2).

    image, flow: (B, C, H, W) -> image · g₀ and flow · g₁ of the same shape, and the scores g (B, 2): one factor in
    (0, 1) per sample and stream, g = mean over pixels of sigmoid(conv(cat(image, flow))).
    """

    def __init__(self, channels: int, widths: tuple[int, ...], block: Block = conv_block) -> None:
        super().__init__()
        ends = (2 * channels, *widths)
        self.blocks = nn.Sequential(*(block(a, b) for a, b in pairwise(ends)))
        self.score = nn.Conv2d(ends[-1], 2, 3, 1, 1)

    def forward(self, image: Tensor, flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.blocks(torch.cat((image, flow), 1))  # (B, widths[-1], H, W)
        gate = torch.sigmoid(self.score(features)).mean((2, 3), keepdim=True)  # (B, 2, 1, 1)
        return image * gate[:, :1], flow * gate[:, 1:], gate.flatten(1)


class MotionTransfer(nn.Module):
    """Addition of attended flow features to the image features (MCG, section 3.2).

    image, flow: (B, C, H, W) -> image + SA(CA(flow)), of the same shape.
    """

    def __init__(self, channels: int, least_hidden: int = 1) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels, least_hidden)
        self.spatial = SpatialAttention()

    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
        flow = flow * self.channel(flow)
        attended: Tensor = flow * self.spatial(flow)
        return image + attended


class CoAttention(nn.Module):
    """Cross-attention with queries from the flow, keys and values from the image.

    image, flow: (B, C, H, W) -> softmax(F Iᵀ / sqrt(C)) I, where F and I hold one pixel per row; same shape.
    """

    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
        pixels = image.flatten(2)  # (B, C, HW)
        affinity = flow.flatten(2).transpose(1, 2) @ pixels / math.sqrt(image.shape[1])  # (B, HW, HW)
        gathered = torch.softmax(affinity, -1) @ pixels.transpose(1, 2)  # (B, HW, C)
        return gathered.transpose(1, 2).reshape(image.shape)


class ConcatenationFusion(nn.Module):
    """Fusion of both streams without motion correction, the baseline of the paper's ablation; the layers are ours.

    image, flow, coarser (decoder features of the coarser level): (B, C, H, W) -> decoder features (B, C, H, W):
    conv(cat(image, flow, coarser)) + coarser; the second result, the attention map, is None.
    """

    def __init__(self, channels: int, block: Block = conv_block) -> None:
        super().__init__()
        self.fuse = nn.Sequential(block(3 * channels, channels), block(channels, channels))

    def forward(self, image: Tensor, flow: Tensor, coarser: Tensor) -> tuple[Tensor, None]:
        return self.fuse(torch.cat((image, flow, coarser), 1)) + coarser, None


class MotionCorrection(nn.Module):
    """Motion correction module (MCM, section 3.3).

    image, flow, coarser (decoder features of the coarser level): (B, C, H, W) -> decoder features (B, C, H, W) and the
    attention map (B, 1, H, W) in (0, 1): A · conv(cat(image, coarser)) + coarser, with A computed from the fused flow
    features. With attends=False (the ablation with fewer MCMs) A is 1 and the map is None.
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
