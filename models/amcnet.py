"""AMC-Net: segmentation of the primary object from a frame and its color-coded optical flow.

S. Yang, L. Zhang, J. Qi, H. Lu, S. Wang, X. Zhang: Learning Motion-Appearance Co-Attention for Zero-Shot Video Object
Segmentation, ICCV 2021. B is the batch size, H and W the input size (384 in the paper); level i has stride 2^(i+1).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from .appearance_decoder import AppearanceDecoder
from .attention import (
    Block,
    CoAttention,
    CoAttentionGate,
    ConcatenationFusion,
    MotionCorrection,
    MotionTransfer,
    conv_block,
    separable_block,
)
from .efficientnet_lite import EFFICIENTNET_LITE0, EFFICIENTNET_LITE2
from .inverted_residual import inverted_residual_stages
from .mobilenet import MOBILENET_V2
from .resnet import BLOCKS, resnet_stages
from .upsampling import upsample_twice

LIGHT_BACKBONES = {
    "mobilenet_v2": MOBILENET_V2,
    "efficientnet_lite0": EFFICIENTNET_LITE0,
    "efficientnet_lite2": EFFICIENTNET_LITE2,
}
"""Encoders without batch norms, which come with a narrow decoder of depthwise-separable convolutions."""
BACKBONES = (*BLOCKS, *LIGHT_BACKBONES)


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

    backbone: resnet101, resnet50, resnet34, resnet18, mobilenet_v2, efficientnet_lite0 or efficientnet_lite2, for both
        encoders. The last three come with a narrow decoder of depthwise-separable convolutions.
    gated_levels: number of levels, from the finest, with a co-attention gate (MCG, section 3.2): 0 to 5 (Table 2).
    corrections: number of levels, from the coarsest, with a motion correction module (MCM, section 3.3): 1, 3 or 5.
    concatenation: the paper's baseline (Table 1): concatenation of the streams in place of MCG, co-attention and MCM.
        It excludes other values of gated_levels and corrections than the defaults.
    appearance_decoder: a second decoder, of the gated image features alone, whose mask is averaged with the other: the
        paper's variant for FBMS (section 4.1). Its layers were not published; they are ours (appearance_decoder.py).
    Raises ValueError for other values.
    """

    backbone: str = "resnet101"
    gated_levels: int = 5
    corrections: int = 5
    concatenation: bool = False
    appearance_decoder: bool = False

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ValueError(f"backbone is {self.backbone!r}; expected one of {', '.join(BACKBONES)}")
        if self.gated_levels not in range(6):
            raise ValueError(f"gated_levels is {self.gated_levels}; expected 0 to 5")
        if self.corrections not in (1, 3, 5):
            raise ValueError(f"corrections is {self.corrections}; expected 1, 3 or 5")
        if self.concatenation and (self.gated_levels, self.corrections) != (5, 5):
            raise ValueError(
                "concatenation replaces gates and corrections; expected gated_levels and corrections at their defaults"
            )

    @property
    def has_gates(self) -> bool:
        """Whether any level has a co-attention gate."""
        return self.gated_levels > 0 and not self.concatenation

    def to_json(self) -> str:
        """Return the fields as JSON, for the metadata of a file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the configuration of `to_json`; also reads files with "gate", true or false for all levels."""
        fields = json.loads(text)
        if "gate" in fields:
            fields["gated_levels"] = 5 if fields.pop("gate") else 0
        return cls(**fields)


class AMCNetOutput(NamedTuple):
    """Output of AMCNet.

    mask: (B, 1, H, W), probability of the primary object, in (0, 1).
    attentions: attention maps of the MCMs, fine to coarse, (B, 1, H/2, W/2) … (B, 1, H/32, W/32), in (0, 1).
    """

    mask: Tensor
    attentions: tuple[Tensor, ...]


class AMCNetDetails(NamedTuple):
    """Output of `AMCNet.details`.

    mask, attentions: as in AMCNetOutput.
    gate_scores: (B, 5, 2) in (0, 1], the co-attention scores (section 3.2): the gates' factors on the image and the
        flow features of each level, from the finest; 1 where there is no gate.
    decoder_masks: masks of the decoders, (B, 1, H, W) each, in (0, 1): one, or two with appearance_decoder. `mask` is
        their mean.
    """

    mask: Tensor
    attentions: tuple[Tensor, ...]
    gate_scores: Tensor
    decoder_masks: tuple[Tensor, ...]


class AMCNet(nn.Module):
    """Two-stream encoder-decoder network (section 3).

    image, flow_image: (B, 3, H, W) float32 RGB, ImageNet-normalized; H and W are multiples of 32. Returns AMCNetOutput.

        network = AMCNet(AMCNetConfig(backbone="resnet50")).eval()
        mask, attentions = network(image, flow_image)
        scores = network.details(image, flow_image).gate_scores
    """

    def __init__(self, config: AMCNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AMCNetConfig()
        self.image_stages, channels = _stages(config.backbone)
        self.flow_stages, _ = _stages(config.backbone)
        widths, block, least_hidden = _LIGHT if config.backbone in LIGHT_BACKBONES else _PAPER
        levels = tuple(enumerate(zip(channels, widths, strict=True)))
        if config.has_gates:
            # The gates of the two coarsest levels have two blocks, as in the original implementation.
            steps = [(width,) if level < 3 else (width, width // 4) for level, (_, width) in levels]
            ends = list(zip(channels, steps, strict=True))[: config.gated_levels]
            self.gates = nn.ModuleList(CoAttentionGate(c, step, block) for c, step in ends)
        if not config.concatenation:
            self.transfers = nn.ModuleList(MotionTransfer(c, least_hidden) for c in channels)
        self.image_reductions = nn.ModuleList(block(c, width) for _, (c, width) in levels)
        self.flow_reductions = nn.ModuleList(block(c, width) for _, (c, width) in levels)
        self.co_attention = CoAttention()
        self.corrections = nn.ModuleList(
            ConcatenationFusion(width, block)
            if config.concatenation
            else MotionCorrection(width, level >= 5 - config.corrections, block, least_hidden)
            for level, (_, width) in levels
        )
        self.outputs = nn.ModuleList(block(width, widths[max(level - 1, 0)]) for level, (_, width) in levels)
        self.head = nn.Conv2d(widths[0], 1, 3, 1, 1)
        if config.appearance_decoder:
            self.appearance_decoder = AppearanceDecoder(widths, block)

    def forward(self, image: Tensor, flow_image: Tensor) -> AMCNetOutput:
        details = self.details(image, flow_image)
        return AMCNetOutput(details.mask, details.attentions)

    def details(self, image: Tensor, flow_image: Tensor) -> AMCNetDetails:
        """Return mask and attention maps with the gate scores and the masks of the decoders."""
        images, flows, gate_scores = self.encode(image, flow_image)
        mask, attentions = self.decode(images, flows)
        if not self.config.appearance_decoder:
            return AMCNetDetails(mask, attentions, gate_scores, (mask,))
        second = self.appearance_decoder(images)
        return AMCNetDetails((mask + second) / 2, attentions, gate_scores, (mask, second))

    def encode(self, image: Tensor, flow_image: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Return the reduced features of image and flow, and the gate scores (B, 5, 2).

        Features are ordered fine to coarse: (B, widths[i], H/2^(i+1), W/2^(i+1)).
        """
        # The input of each flow stage is ungated, so the flow encoder does not depend on the image stream.
        flows = [flow_image]
        for stage in self.flow_stages:
            flows.append(stage(flows[-1]))
        images_reduced, flows_reduced, scores = [], [], []
        for level, flow in enumerate(flows[1:]):
            image = self.image_stages[level](image)
            score = image.new_ones(image.shape[0], 2)
            if not self.config.concatenation:
                if level < self.config.gated_levels:
                    image, flow, score = self.gates[level](image, flow)
                image = self.transfers[level](image, flow)
            images_reduced.append(self.image_reductions[level](image))
            flows_reduced.append(self.flow_reductions[level](flow))
            scores.append(score)
        return images_reduced, flows_reduced, torch.stack(scores, 1)

    def decode(self, images: list[Tensor], flows: list[Tensor]) -> AMCNetOutput:
        """Return the mask and the attention maps from the features that `encode` returns."""
        # (B, widths[4], H/32, W/32)
        features = images[4] if self.config.concatenation else self.co_attention(images[4], flows[4])
        attentions: list[Tensor] = []
        for level in (4, 3, 2, 1, 0):
            features, attention = self.corrections[level](images[level], flows[level], features)
            if attention is not None:
                attentions.insert(0, attention)
            features = self.outputs[level](features)
            if level > 0:
                features = upsample_twice(features)
        return AMCNetOutput(torch.sigmoid(upsample_twice(self.head(features))), tuple(attentions))


def _stages(backbone: str) -> tuple[nn.ModuleList, tuple[int, ...]]:
    return resnet_stages(backbone) if backbone in BLOCKS else inverted_residual_stages(LIGHT_BACKBONES[backbone])
