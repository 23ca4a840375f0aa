"""Construction of the network with its initial weights."""

from __future__ import annotations

from pathlib import Path

import torch

from ..models.amcnet import AMCNet, AMCNetConfig
from ..models.checkpoint import load_amcnet
from ..runtime.errors import CheckpointError
from .encoder_weights import load_encoders
from .exported_weights import read_exported
from .recipe import Recipe


def make_network(recipe: Recipe, encoder: Path | None = None, init: Path | None = None) -> AMCNet:
    """Return the recipe's network in train mode, on the CPU; frozen stages have requires_grad=False.

    encoder: ImageNet weights of the encoders (encoder_weights.py). init: weights of the whole network, such as best.pth
    of an earlier training or an ONNX file (exported_weights.py). Without either, random weights from the recipe's seed.
    Raises CheckpointError for files of another network.
    """
    config = AMCNetConfig(backbone=recipe.backbone, **recipe.architecture)
    with torch.random.fork_rng(devices=[]):  # keeps the state of the caller's generator
        torch.default_generator.manual_seed(recipe.seed)
        network = AMCNet(config)
    if encoder is not None:
        load_encoders(network, encoder)
    if init is not None:
        loaded = read_exported(init) if init.suffix == ".onnx" else load_amcnet(init)
        if loaded.config != config:
            raise CheckpointError(
                f"{init} holds another network than the recipe {recipe.name!r}: got {loaded.config}, expected {config}"
            )
        network.load_state_dict(loaded.state_dict())
    network.train()
    for stages in (network.image_stages, network.flow_stages):
        for stage in list(stages)[: recipe.frozen_stages]:
            stage.requires_grad_(False)
    return network
