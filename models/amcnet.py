"""AMC-Net: segmentation of the primary object from a frame and its color-coded optical flow.

S. Yang, L. Zhang, J. Qi, H. Lu, S. Wang, X. Zhang: Learning Motion-Appearance Co-Attention for Zero-Shot Video Object
Segmentation, ICCV 2021. B is the batch size, H and W the input size (384 in the paper); level i has stride 2^(i+1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import (
    Block,
    CoAttention,
    CoAttentionGate,
    MotionCorrection,
    MotionTransfer,
    conv_block,
    separable_block,
)
from .mobilenet import mobilenet_v2_stages
from .resnet import BLOCKS, resnet_stages

BACKBONES = (*BLOCKS, "mobilenet_v2")


class _Decoder(NamedTuple):
    """Decoder settings that follow from the backbone.

    widths: channels of levels 0 to 4. block: factory of the decoder's layers. least_hidden: minimum number of hidden
    channels in a channel attention.
    """

    widths: tuple[int, ...]
    block: Block
    least_hidden: int


_PAPER = _Decoder((32, 64, 128, 256, 512), conv_block, 1)
# At stride 2 every operator is memory-bound, hence 16 channels there.
_LIGHT = _Decoder((16, 24, 48, 96, 160), separable_block, 8)


@dataclass(frozen=True, kw_only=True)
class AMCNetConfig:
    """Architecture of an AMC-Net. The defaults are the paper's; other values are its ablations or smaller encoders.

    backbone: resnet101, resnet50, resnet34, resnet18 or mobilenet_v2, for both encoders. mobilenet_v2 comes with a
        narrow decoder of depthwise-separable convolutions.
    corrections: number of levels, from the coarsest, with a motion correction module (MCM): 1, 3 or 5.
    gate: whether the co-attention gates (MCG) scale the two streams.
    Raises ValueError for other values.
    """

    backbone: str = "resnet101"
    corrections: int = 5
    gate: bool = True

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ValueError(f"backbone is {self.backbone!r}; expected one of {', '.join(BACKBONES)}")
        if self.corrections not in (1, 3, 5):
            raise ValueError(f"corrections is {self.corrections}; expected 1, 3 or 5")


class AMCNetOutput(NamedTuple):
    """Output of AMCNet.

    mask: (B, 1, H, W), probability of the primary object, in (0, 1).
    attentions: attention maps of the MCMs, fine to coarse, (B, 1, H/2, W/2) … (B, 1, H/32, W/32), in (0, 1).
    """

    mask: Tensor
    attentions: tuple[Tensor, ...]


class AMCNet(nn.Module):
    """Two-stream encoder-decoder network (section 3).

    image, flow_image: (B, 3, H, W) float32 RGB, ImageNet-normalized; H and W are multiples of 32. Returns AMCNetOutput.

        network = AMCNet(AMCNetConfig(backbone="resnet50")).eval()
        mask, attentions = network(image, flow_image)
    """

    def __init__(self, config: AMCNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AMCNetConfig()
        self.image_stages, channels = _stages(config.backbone)
        self.flow_stages, _ = _stages(config.backbone)
        widths, block, least_hidden = _LIGHT if config.backbone == "mobilenet_v2" else _PAPER
        levels = tuple(enumerate(zip(channels, widths, strict=True)))
        if config.gate:
            # The gates of the two coarsest levels have two blocks, as in the original implementation.
            steps = [(width,) if level < 3 else (width, width // 4) for level, (_, width) in levels]
            self.gates = nn.ModuleList(CoAttentionGate(c, s, block) for c, s in zip(channels, steps, strict=True))
        self.transfers = nn.ModuleList(MotionTransfer(c, least_hidden) for c in channels)
        self.image_reductions = nn.ModuleList(block(c, width) for _, (c, width) in levels)
        self.flow_reductions = nn.ModuleList(block(c, width) for _, (c, width) in levels)
        self.co_attention = CoAttention()
        self.corrections = nn.ModuleList(
            MotionCorrection(width, level >= 5 - config.corrections, block, least_hidden)
            for level, (_, width) in levels
        )
        self.outputs = nn.ModuleList(block(width, widths[max(level - 1, 0)]) for level, (_, width) in levels)
        self.head = nn.Conv2d(widths[0], 1, 3, 1, 1)

    def forward(self, image: Tensor, flow_image: Tensor) -> AMCNetOutput:
        images, flows = self.encode(image, flow_image)
        return self.decode(images, flows)

    def encode(self, image: Tensor, flow_image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the reduced features of image and flow, fine to coarse: (B, widths[i], H/2^(i+1), W/2^(i+1))."""
        # The input of each flow stage is ungated, so the flow encoder does not depend on the image stream.
        flows = [flow_image]
        for stage in self.flow_stages:
            flows.append(stage(flows[-1]))
        images_reduced, flows_reduced = [], []
        for level, flow in enumerate(flows[1:]):
            image = self.image_stages[level](image)
            if self.config.gate:
                image, flow = self.gates[level](image, flow)
            image = self.transfers[level](image, flow)
            images_reduced.append(self.image_reductions[level](image))
            flows_reduced.append(self.flow_reductions[level](flow))
        return images_reduced, flows_reduced

    def decode(self, images: list[Tensor], flows: list[Tensor]) -> AMCNetOutput:
        """Return the mask and the attention maps from the features that `encode` returns."""
        features = self.co_attention(images[4], flows[4])  # (B, widths[4], H/32, W/32)
        attentions: list[Tensor] = []
        for level in (4, 3, 2, 1, 0):
            features, attention = self.corrections[level](images[level], flows[level], features)
            if attention is not None:
                attentions.insert(0, attention)
            features = self.outputs[level](features)
            if level > 0:
                features = _upsample(features)
        return AMCNetOutput(torch.sigmoid(_upsample(self.head(features))), tuple(attentions))


def _stages(backbone: str) -> tuple[nn.ModuleList, tuple[int, ...]]:
    return mobilenet_v2_stages() if backbone == "mobilenet_v2" else resnet_stages(backbone)


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
