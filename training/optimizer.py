"""Optimizer of a recipe, and its learning rate schedule."""

from __future__ import annotations

import torch
from torch import nn

from .recipe import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer with up to four parameter groups: weights and biases of encoders and decoder.

    Biases have no weight decay. `full_rate` of a group is its learning rate before `rate_factor`. Parameters without
    requires_grad are omitted. Raises ValueError for an unknown `recipe.optimizer`.
    """
    members: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        in_encoder = name.startswith(("image_stages.", "flow_stages."))
        members.setdefault((in_encoder, name.endswith("bias")), []).append(parameter)
    groups = []
    for (in_encoder, is_bias), parameters in members.items():
        rate = recipe.encoder_rate if in_encoder else recipe.learning_rate
        rate *= recipe.bias_factor if is_bias else 1
        decay = 0.0 if is_bias else recipe.weight_decay
        groups.append({"params": parameters, "lr": rate, "full_rate": rate, "weight_decay": decay})
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=0.9)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, fused=True)  # 9 ms per step on one core instead of 33
    raise ValueError(f"optimizer: got {recipe.optimizer!r}, expected 'sgd' or 'adamw'")


def rate_factor(recipe: Recipe, iteration: int, iterations: int) -> float:
    """Return the learning rate factor in (0, 1]: linear warm-up times (1 - iteration / iterations)^0.9."""
    rise = min(1.0, (iteration + 1) / recipe.warmup) if recipe.warmup else 1.0
    return float(rise * (1 - iteration / iterations) ** 0.9)
