"""A recipe and files of weights -> the network that a training begins with."""

from __future__ import annotations

from pathlib import Path

import torch

from ..models.amcnet import AMCNet, AMCNetConfig
from ..models.checkpoint import load_amcnet
from ..runtime.errors import CheckpointError
from .encoder_weights import load_encoders
from .recipe import Recipe


def make_network(recipe: Recipe, encoder: Path | None = None, init: Path | None = None) -> AMCNet:
    """The recipe's network in train mode, on the CPU, its frozen stages needing no gradient.

    encoder: ImageNet weights for the encoders; init: weights of the whole network, such as best.pth of an earlier
    training. Raises CheckpointError for files that do not fit.
    """
    config = AMCNetConfig(backbone=recipe.backbone)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        torch.default_generator.manual_seed(recipe.seed)
        network = AMCNet(config)
    if encoder is not None:
        load_encoders(network, encoder)
    if init is not None:
        loaded = load_amcnet(init)
        if loaded.config != config:
            raise CheckpointError(
                f"{init} holds {loaded.config}, the recipe {recipe.name!r} trains {config}; "
                "expected weights of the same network"
            )
        network.load_state_dict(loaded.state_dict())
    network.train()
    for stages in (network.image_stages, network.flow_stages):
        for stage in list(stages)[: recipe.frozen_stages]:
            stage.requires_grad_(False)
    return network
