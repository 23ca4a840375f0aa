"""AMC-Net, PWC-Net and RAFT in PyTorch, and loading of their checkpoints."""

from .amcnet import AMCNet, AMCNetConfig, AMCNetDetails, AMCNetOutput
from .checkpoint import load_amcnet, load_pwcnet, load_raft
from .pwcnet import PWCNet
from .raft import RAFT, RAFTConfig
from .seeded import seed_weights

__all__ = [
    "RAFT",
    "AMCNet",
    "AMCNetConfig",
    "AMCNetDetails",
    "AMCNetOutput",
    "PWCNet",
    "RAFTConfig",
    "load_amcnet",
    "load_pwcnet",
    "load_raft",
    "seed_weights",
]
