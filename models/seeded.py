"""Random weights from a seed, for timing, engine builds and tests without a checkpoint."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def seed_weights(network: Network, seed: int) -> Network:
    """Fill `network` in place with random weights that keep activations in range; return it in eval mode.

    Convolutions have He initialization, running means and variances are near 0 and 1. Convolutions with two outputs
    (flow, gates) and the last norm of each residual branch have a small gain, so that 33 blocks do not overflow.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                fan_in = module.weight[0].numel()
                gain = 0.1 if module.weight.shape[0] == 2 else 1.0
                module.weight.normal_(0, gain * math.sqrt(2 / fan_in), generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.05, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                low, high = (0.1, 0.3) if name.endswith("bn3") else (0.5, 1.0)
                module.weight.uniform_(low, high, generator=generator)
                module.bias.normal_(0, 0.05, generator=generator)
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network.eval()
