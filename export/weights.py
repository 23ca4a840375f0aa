"""Weights of an export: a checkpoint, or random ones from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..models import (
    RAFT,
    AMCNet,
    AMCNetConfig,
    PWCNet,
    RAFTConfig,
    load_amcnet,
    load_pwcnet,
    load_raft,
    seed_weights,
)
from ..runtime.files.onnx_file import file_sha256


@dataclass(frozen=True, kw_only=True)
class Seed:
    """Untrained weights from a random seed, in place of a checkpoint: for timing and for building engines."""

    number: int

    @property
    def name(self) -> str:
        return f"untrained, seed {self.number}"


Weights = Path | Seed
"""A checkpoint (.pth, .tar, .safetensors), or a seed for untrained weights."""


def amcnet_from(weights: Weights, config: AMCNetConfig | None) -> tuple[AMCNet, str]:
    """An AMC-Net with `weights`, and the SHA-256 of the checkpoint or the name of the seed. Raises CheckpointError."""
    if isinstance(weights, Seed):
        return seed_weights(AMCNet(config), weights.number), weights.name
    network = load_amcnet(weights)
    return network, file_sha256(weights)


def pwcnet_from(weights: Weights) -> tuple[PWCNet, str]:
    """As `amcnet_from`, a PWC-Net."""
    if isinstance(weights, Seed):
        return seed_weights(PWCNet(), weights.number), weights.name
    return load_pwcnet(weights), file_sha256(weights)


def raft_from(weights: Weights, config: RAFTConfig) -> tuple[RAFT, str]:
    """As `amcnet_from`, a RAFT."""
    if isinstance(weights, Seed):
        return seed_weights(RAFT(config), weights.number), weights.name
    return load_raft(weights, config.iterations), file_sha256(weights)
