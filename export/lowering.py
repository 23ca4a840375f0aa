"""Lower a trained network to the form to export: folded norms, fusible activations, custom operators as nodes."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..models.attention import CoAttention, CoAttentionGate
from ..models.correlation import Correlation
from ..models.correlation_volume import LEVELS, CorrelationLookup, CorrelationVolumes
from ..models.resnet import BasicBlock, Bottleneck
from ..models.warp import Warp
from .functions import DOMAIN, VERSION

Network = TypeVar("Network", bound=nn.Module)


def lower(network: Network) -> Network:
    """Lower `network` in place and return it. The result can be exported, but not run in PyTorch.

    Batch norms are folded into the convolutions before them. A PReLU with a single slope becomes a LeakyReLU, which
    runtimes fuse into the convolution before it (gain: benchmarks/studies/operator_speed.py). Attention, gate,
    correlations, lookup and warp become single nodes of the domain `amcnet`.
    """
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            for index in range(len(module) - 1):
                conv, norm = module[index], module[index + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[index], module[index + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
        elif isinstance(module, BasicBlock | Bottleneck):
            for conv_name, norm_name in (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")):
                if hasattr(module, conv_name):
                    fused = fuse_conv_bn_eval(getattr(module, conv_name), getattr(module, norm_name))
                    setattr(module, conv_name, fused)
                    setattr(module, norm_name, nn.Identity())
    for parent in list(network.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, nn.PReLU):
                setattr(parent, name, nn.LeakyReLU(float(module.weight.item())))
            elif isinstance(module, CoAttentionGate):
                setattr(parent, name, _GateNode(module))
            elif isinstance(module, CoAttention):
                setattr(parent, name, _CoAttentionNode())
            elif isinstance(module, Correlation):
                setattr(parent, name, _CorrelationNode())
            elif isinstance(module, CorrelationVolumes):
                setattr(parent, name, _VolumesNode())
            elif isinstance(module, CorrelationLookup):
                setattr(parent, name, _LookupNode(module.radius))
            elif isinstance(module, Warp):
                setattr(parent, name, _WarpNode())
    return network


class _GateNode(nn.Module):
    """Convolutions of the gate as ordinary nodes, which can be fused and quantized; the gating as one operator."""

    def __init__(self, gate: CoAttentionGate) -> None:
        super().__init__()
        self.blocks, self.score = gate.blocks, gate.score

    def forward(self, image: Tensor, flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        score = self.score(self.blocks(torch.cat((image, flow), 1)))
        gated_image, gated_flow = torch.onnx.ops.symbolic_multi_out(
            f"{DOMAIN}::AmcCoAttentionGate",
            (image, flow, score),
            dtypes=(image.dtype, flow.dtype),
            shapes=(image.shape, flow.shape),
            version=VERSION,
        )
        return (
            gated_image,
            gated_flow,
            torch.sigmoid(score).mean((2, 3)),
        )  # the scores are exported only if they are an output


class _CoAttentionNode(nn.Module):
    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::AmcCoAttention", (image, flow), dtype=image.dtype, shape=image.shape, version=VERSION
        )


class _CorrelationNode(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        shape = (first.shape[0], 81, *first.shape[2:])
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::AmcCorrelation", (first, second), dtype=first.dtype, shape=shape, version=VERSION
        )


class _VolumesNode(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> list[Tensor]:
        batch, _, height, width = first.shape
        shapes = [(batch * height * width, 1, height >> level, width >> level) for level in range(LEVELS)]
        volumes = torch.onnx.ops.symbolic_multi_out(
            f"{DOMAIN}::AmcCorrelationVolumes",
            (first, second),
            dtypes=[first.dtype] * LEVELS,
            shapes=shapes,
            version=VERSION,
        )
        return list(volumes)


class _LookupNode(nn.Module):
    def __init__(self, radius: int) -> None:
        super().__init__()
        self.register_buffer("offsets", torch.arange(-radius, radius + 1, dtype=torch.float32))
        self.offsets: Tensor

    def forward(self, volumes: list[Tensor], coordinates: Tensor) -> Tensor:
        batch, _, height, width = coordinates.shape
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::AmcCorrelationLookup",
            (*volumes, coordinates, self.offsets),
            dtype=coordinates.dtype,
            shape=(batch, len(volumes) * self.offsets.shape[0] ** 2, height, width),
            version=VERSION,
        )


class _WarpNode(nn.Module):
    def forward(self, features: Tensor, flow: Tensor) -> Tensor:
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::AmcWarp", (features, flow), dtype=features.dtype, shape=features.shape, version=VERSION
        )
