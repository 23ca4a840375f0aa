"""Update operator of RAFT: correlations and the current flow -> a correction of the flow (section 3.3).

B is the batch size, H and W the height and width of the feature maps, an eighth of the input's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RAFTUpdate(nn.Module):
    """One iteration: motion features, gated recurrent units, flow head.

    hidden: (B, h, H, W). context: (B, c, H, W). correlation: (B, K, H, W). flow: (B, 2, H, W), in pixels of this grid.
    Returns the new hidden state and the correction of the flow. `large` selects the layers of the large network.
    """

    def __init__(self, large: bool, hidden: int, context: int, correlation: int) -> None:
        super().__init__()
        self.motion = _MotionEncoder(large, correlation)
        inputs = hidden + context + self.motion.channels
        kernels = ((1, 5), (5, 1)) if large else ((3, 3),)
        self.units = nn.ModuleList(_ConvGRU(hidden, inputs, kernel) for kernel in kernels)
        width = 256 if large else 128
        self.flow_head = nn.Sequential(
            nn.Conv2d(hidden, width, 3, 1, 1), nn.ReLU(inplace=True), nn.Conv2d(width, 2, 3, 1, 1)
        )
        if large:
            self.mask = nn.Sequential(
                nn.Conv2d(hidden, 256, 3, 1, 1), nn.ReLU(inplace=True), nn.Conv2d(256, 9 * 64, 1)
            )  # weights of the upsampling, see `convex_upsample`

    def forward(self, hidden: Tensor, context: Tensor, correlation: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        inputs = torch.cat((context, self.motion(correlation, flow)), 1)
        for unit in self.units:
            hidden = unit(hidden, inputs)
        return hidden, self.flow_head(hidden)


class _MotionEncoder(nn.Module):
    """correlation (B, K, H, W), flow (B, 2, H, W) -> motion features (B, channels, H, W); the last two are the flow."""

    def __init__(self, large: bool, correlation: int) -> None:
        super().__init__()
        if large:
            self.correlation = nn.Sequential(_conv(correlation, 256, 1), _conv(256, 192, 3))
            self.flow = nn.Sequential(_conv(2, 128, 7), _conv(128, 64, 3))
            self.output = _conv(192 + 64, 126, 3)
            self.channels = 128
        else:
            self.correlation = nn.Sequential(_conv(correlation, 96, 1))
            self.flow = nn.Sequential(_conv(2, 64, 7), _conv(64, 32, 3))
            self.output = _conv(96 + 32, 80, 3)
            self.channels = 82

    def forward(self, correlation: Tensor, flow: Tensor) -> Tensor:
        features = torch.cat((self.correlation(correlation), self.flow(flow)), 1)
        return torch.cat((self.output(features), flow), 1)


class _ConvGRU(nn.Module):
    """Convolutional gated recurrent unit: h' = (1 - z) h + z q, with q computed from r h and the inputs."""

    def __init__(self, hidden: int, inputs: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.z = nn.Conv2d(inputs, hidden, kernel, 1, padding)
        self.r = nn.Conv2d(inputs, hidden, kernel, 1, padding)
        self.q = nn.Conv2d(inputs, hidden, kernel, 1, padding)

    def forward(self, hidden: Tensor, inputs: Tensor) -> Tensor:
        both = torch.cat((hidden, inputs), 1)
        z, r = torch.sigmoid(self.z(both)), torch.sigmoid(self.r(both))
        q = torch.tanh(self.q(torch.cat((r * hidden, inputs), 1)))
        return (1 - z) * hidden + z * q


def _conv(channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out_channels, kernel, 1, kernel // 2), nn.ReLU(inplace=True))
