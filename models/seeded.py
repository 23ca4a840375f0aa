"""Untrained weights from a seed: for timing, for building engines, and for tests without a checkpoint."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def seed_weights(network: Network, seed: int) -> Network:
    """`network` with random weights from `seed`, in eval mode, scaled so that activations keep their range.

    He-scaled convolutions; running means and variances near 0 and 1; the last norm of a residual branch and
    convolutions with two outputs (flow fields, gates) are damped, so that 33 blocks do not overflow.
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
