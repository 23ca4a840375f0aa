"""AMC-Net and PWC-Net in PyTorch, and loading of their checkpoints."""

from .amcnet import AMCNet, AMCNetConfig, AMCNetDetails, AMCNetOutput
from .checkpoint import load_amcnet, load_pwcnet
from .pwcnet import PWCNet
from .seeded import seed_weights

__all__ = [
    "AMCNet",
    "AMCNetConfig",
    "AMCNetDetails",
    "AMCNetOutput",
    "PWCNet",
    "load_amcnet",
    "load_pwcnet",
    "seed_weights",
]
