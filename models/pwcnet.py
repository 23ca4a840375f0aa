"""PWC-Net: optical flow between two frames.

D. Sun, X. Yang, M.-Y. Liu, J. Kautz: PWC-Net: CNNs for Optical Flow Using Pyramid, Warping, and Cost Volume, CVPR 2018.
B is the batch size, H and W the input's height and width; level l of the pyramid has stride 2^l.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from .correlation import Correlation
from .warp import Warp

PYRAMID_CHANNELS = (16, 32, 64, 96, 128, 196)  # levels 1 to 6
DENSE_CHANNELS = (128, 128, 96, 64, 32)
CONTEXT = ((128, 1), (128, 2), (128, 4), (96, 8), (64, 16), (32, 1))  # channels and dilation
FLOW_SCALE = 20.0  # px of the input per unit of the flow inside the network


def _conv(channels: int, out_channels: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, 3, stride, dilation, dilation), nn.LeakyReLU(0.1, inplace=True)
    )


class FlowEstimator(nn.Module):
    """Optical flow estimator of one level (section 3), with DenseNet connections.

    first, second: features of the two frames, (B, c, h, w). coarser: flow and features of the coarser level, None at
    the coarsest. Returns the flow (B, 2, h, w), in units of 20 px of the input, and the features for the finer level.
    """

    def __init__(self, level: int, coarser_channels: int | None) -> None:
        super().__init__()
        self.correlation = Correlation()
        self.activation = nn.LeakyReLU(0.1, inplace=True)
        channels = 81
        if coarser_channels is not None:
            self.upsample_flow = nn.ConvTranspose2d(2, 2, 4, 2, 1)
            self.upsample_features = nn.ConvTranspose2d(coarser_channels, 2, 4, 2, 1)
            self.warp = Warp()
            self.warp_scale = FLOW_SCALE / 2**level  # from units of 20 input px to px of this level
            channels += PYRAMID_CHANNELS[level - 1] + 4
        self.convs = nn.ModuleList()
        for out_channels in DENSE_CHANNELS:
            self.convs.append(_conv(channels, out_channels))
            channels += out_channels
        self.predict = nn.Conv2d(channels, 2, 3, 1, 1)
        self.channels = channels

    def forward(self, first: Tensor, second: Tensor, coarser: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        if coarser is None:
            features = self.activation(self.correlation(first, second))  # (B, 81, h, w)
        else:
            flow = self.upsample_flow(coarser[0])  # (B, 2, h, w)
            upsampled = self.upsample_features(coarser[1])  # (B, 2, h, w)
            cost = self.activation(self.correlation(first, self.warp(second, flow * self.warp_scale)))
            features = torch.cat((cost, first, flow, upsampled), 1)
        for conv in self.convs:
            features = torch.cat((conv(features), features), 1)
        return self.predict(features), features


class PWCNet(nn.Module):
    """Optical flow from `frame` to `next_frame`.

    frame, next_frame: (B, 3, H, W) float32 BGR in [0, 1]; H and W are multiples of 64.
    Returns the flow (B, 2, H/4, W/4), x before y, in pixels of the input.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = (3, *PYRAMID_CHANNELS)
        self.pyramid = nn.ModuleList(
            nn.Sequential(_conv(a, b, stride=2), _conv(b, b), _conv(b, b)) for a, b in pairwise(channels)
        )
        self.estimators = nn.ModuleList()  # levels 6, 5, 4, 3, 2
        before: int | None = None
        for level in (6, 5, 4, 3, 2):
            estimator = FlowEstimator(level, before)
            self.estimators.append(estimator)
            before = estimator.channels
        assert before is not None
        context: list[nn.Module] = []
        for out_channels, dilation in CONTEXT:
            context.append(_conv(before, out_channels, dilation=dilation))
            before = out_channels
        self.context = nn.Sequential(*context, nn.Conv2d(before, 2, 3, 1, 1))

    def forward(self, frame: Tensor, next_frame: Tensor) -> Tensor:
        firsts, seconds = self.extract(frame), self.extract(next_frame)
        coarser: tuple[Tensor, Tensor] | None = None
        for level, estimator in zip((6, 5, 4, 3, 2), self.estimators, strict=True):
            coarser = estimator(firsts[level - 1], seconds[level - 1], coarser)
        assert coarser is not None
        flow, features = coarser
        refinement: Tensor = self.context(features)
        return FLOW_SCALE * (flow + refinement)

    def extract(self, frame: Tensor) -> list[Tensor]:
        """Return the feature pyramid, levels 1 to 6: (B, 16, H/2, W/2) … (B, 196, H/64, W/64)."""
        features = []
        for stage in self.pyramid:
            frame = stage(frame)
            features.append(frame)
        return features
