"""PyTorch module of the whole pipeline: two video frames -> mask, with resizing, flow and flow coloring inside.

H, W: height and width of the video; h, w: those of PWC-Net, multiples of 64; s: input size of AMC-Net, 384.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.amcnet import AMCNet
from ..models.pwcnet import PWCNet
from ..models.raft import RAFT
from ..runtime.flow.color_wheel import COLOR_WHEEL
from ..runtime.preprocessing.bicubic import bicubic_matrix
from ..runtime.preprocessing.spec import AMCNET, Preprocessing
from .padded_raft import PaddedRAFT


class Pipeline(nn.Module):
    """frame, next_frame (1, H, W, 3) uint8 RGB -> mask of `frame` (1, H, W) in (0, 1)."""

    def __init__(self, amcnet: AMCNet, flow: PWCNet | RAFT, video_size: tuple[int, int]) -> None:
        super().__init__()
        width, height = video_size
        self.flow = RAFTFlow(flow, video_size) if isinstance(flow, RAFT) else PWCNetFlow(flow, video_size)
        self.color = FlowImage()
        self.prepare = Prepare(video_size, AMCNET)
        self.amcnet = amcnet
        self.size = (height, width)

    def forward(self, frame: Tensor, next_frame: Tensor) -> Tensor:
        # Cast to FP32 first: TensorRT supports no other operation on uint8.
        frame = frame.float().permute(0, 3, 1, 2)  # (1, 3, H, W), 0 to 255
        next_frame = next_frame.float().permute(0, 3, 1, 2)
        flow_image = self.color(self.flow(frame, next_frame))  # (1, 3, H, W), 0 to 255
        mask = self.amcnet(self.prepare(frame), self.prepare(flow_image)).mask  # (1, 1, s, s)
        full = F.interpolate(mask, size=self.size, mode="bilinear", align_corners=False)
        return full.squeeze(1)


class RAFTFlow(nn.Module):
    """Two frames (1, 3, H, W) RGB, 0 to 255 -> flow (1, 2, H, W) in pixels of the video."""

    def __init__(self, network: RAFT, video_size: tuple[int, int]) -> None:
        super().__init__()
        self.network = PaddedRAFT(network, video_size)

    def forward(self, frame: Tensor, next_frame: Tensor) -> Tensor:
        flow: Tensor = self.network(frame / 255, next_frame / 255)
        return flow


class PWCNetFlow(nn.Module):
    """Two frames (1, 3, H, W) RGB, 0 to 255 -> flow (1, 2, H, W) in pixels of the video."""

    def __init__(self, network: PWCNet, video_size: tuple[int, int]) -> None:
        super().__init__()
        width, height = video_size
        self.network = network
        self.full_size = (height, width)
        self.network_size = (math.ceil(height / 64) * 64, math.ceil(width / 64) * 64)
        scale = torch.tensor([width / self.network_size[1], height / self.network_size[0]])
        self.register_buffer("scale", scale.view(1, 2, 1, 1))
        self.scale: Tensor

    def forward(self, frame: Tensor, next_frame: Tensor) -> Tensor:
        flow = self.network(self._prepare(frame), self._prepare(next_frame))  # (1, 2, h/4, w/4), pixels of (h, w)
        full = F.interpolate(flow, size=self.full_size, mode="bilinear", align_corners=False)
        return full * self.scale

    def _prepare(self, frame: Tensor) -> Tensor:
        resized = F.interpolate(frame, size=self.network_size, mode="bilinear", align_corners=False)
        red, green, blue = torch.split(resized, 1, 1)
        return torch.cat((blue, green, red), 1) / 255


class FlowImage(nn.Module):
    """Flow (1, 2, H, W) in any unit -> color image (1, 3, H, W), whole numbers 0 to 255 (see `color_flow`)."""

    def __init__(self) -> None:
        super().__init__()
        wheel = torch.from_numpy(COLOR_WHEEL).float() / 255  # (55, 3)
        self.register_buffer("wheel", torch.cat((wheel, wheel[:1])))
        self.wheel: Tensor

    def forward(self, flow: Tensor) -> Tensor:
        length = flow.square().sum(1, keepdim=True).sqrt()  # (1, 1, H, W)
        longest = length.amax((2, 3), keepdim=True)
        unit = flow / (longest + 1e-5)
        radius = length / (longest + 1e-5)
        position = (_angle(-unit[:, 0], -unit[:, 1]) / math.pi + 1) * 27  # (1, H, W) in [0, 54]
        hue = position.floor().clamp(0, 54)
        towards_next = (position - hue).unsqueeze(-1)
        index = hue.to(torch.int64)
        this_hue, next_hue = F.embedding(index, self.wheel), F.embedding(index + 1, self.wheel)  # (1, H, W, 3)
        color = this_hue * (1 - towards_next) + next_hue * towards_next
        color = color.permute(0, 3, 1, 2)
        return (255 * (1 - radius * (1 - color))).floor()


class Prepare(nn.Module):
    """Image (1, 3, H, W), 0 to 255 -> normalized input of AMC-Net (1, 3, s, s).

    The antialiased bicubic resize is two products with constant matrices, since TensorRT has no antialiased Resize.
    As in Pillow, the horizontal pass comes first, and each pass rounds to whole gray levels.
    """

    def __init__(self, video_size: tuple[int, int], preprocessing: Preprocessing) -> None:
        super().__init__()
        (width, height), (to_width, to_height) = video_size, preprocessing.size
        self.register_buffer("across", torch.from_numpy(bicubic_matrix(width, to_width).T.copy()))  # (W, s)
        self.register_buffer("down", torch.from_numpy(bicubic_matrix(height, to_height)))  # (s, H)
        self.register_buffer("mean", 255 * torch.tensor(preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(preprocessing.std).view(1, 3, 1, 1))
        self.across: Tensor
        self.down: Tensor
        self.mean: Tensor
        self.std: Tensor

    def forward(self, image: Tensor) -> Tensor:
        narrow = (image @ self.across + 0.5).floor().clamp(0, 255)  # (1, 3, H, s)
        small = (self.down @ narrow + 0.5).floor().clamp(0, 255)  # (1, 3, s, s)
        return (small - self.mean) / self.std


def preprocessing(video_size: tuple[int, int]) -> Preprocessing:
    """Return the preprocessing specification of pipeline.onnx: frames at the size of the video, unchanged."""
    return Preprocessing(size=video_size, mean=(0, 0, 0), std=(1, 1, 1), channel_order="RGB", resize="inside")


def _angle(x: Tensor, y: Tensor) -> Tensor:
    """atan2(y, x) in [-π, π], composed of ONNX operators; negative for y = 0, as in flow_vis for v = 0."""
    low, high = torch.minimum(x.abs(), y.abs()), torch.maximum(x.abs(), y.abs())
    angle = torch.atan(low / high.clamp(min=1e-30))  # the first octant
    angle = torch.where(y.abs() > x.abs(), math.pi / 2 - angle, angle)
    angle = torch.where(x < 0, math.pi - angle, angle)
    return torch.where(y > 0, angle, -angle)
