"""Loading of ImageNet weights into the encoders of both streams."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..models.amcnet import AMCNet
from ..models.resnet import BLOCKS
from ..runtime.errors import CheckpointError

_MEAN = torch.tensor((0.485, 0.456, 0.406))
_STD = torch.tensor((0.229, 0.224, 0.225))
# (a, b): the public weights expect (x - a) / b for RGB x in [0, 255].
_EXPECTED_INPUTS = {
    "mobilenet_v2": (127.5, 127.5),
    "efficientnet_lite0": (127.0, 128.0),
    "efficientnet_lite2": (127.0, 128.0),
}


def load_encoders(network: AMCNet, path: Path) -> None:
    """Load the weights of a classifier into both encoders of `network`.

    path: for ResNets the .pth of torchvision; for the other backbones an .npz of `convNN.weight` and `convNN.bias` with
    batch norms folded. Raises CheckpointError for other files.
    """
    backbone = network.config.backbone
    for stages in (network.image_stages, network.flow_stages):
        if backbone in BLOCKS:
            load_resnet(stages, path)
        else:
            load_folded(stages, path, backbone)


def load_folded(stages: nn.ModuleList, path: Path, backbone: str) -> None:
    """Load convolutions numbered in the order of the network `backbone`, a key of `_EXPECTED_INPUTS`.

    The weights expect (x - a) / b for x in [0, 255], while the networks here get n = (x / 255 - mean) / std: the
    conversion from n is folded into the first convolution. Additional convolutions in the file are ignored.
    Raises CheckpointError for a file that cannot be read or has other shapes.
    """
    try:
        with np.load(path) as archive:
            tensors = {key: torch.from_numpy(archive[key].astype(np.float32)) for key in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is not a readable .npz: {error}") from error
    convolutions = [module for module in stages.modules() if isinstance(module, nn.Conv2d)]
    state = {}
    for index, convolution in enumerate(convolutions):
        weight, bias = tensors.get(f"conv{index:02d}.weight"), tensors.get(f"conv{index:02d}.bias")
        if weight is None or bias is None or weight.shape != convolution.weight.shape:
            shape = None if weight is None else tuple(weight.shape)
            raise CheckpointError(
                f"{path} does not hold {backbone}: conv{index:02d} is {shape}, expected "
                f"{tuple(convolution.weight.shape)} and a bias. Fix: an .npz of its {len(convolutions)} convolutions "
                "in the order of the network, batch norms folded"
            )
        state[index] = (weight, bias)
    first_weight, first_bias = state[0]
    center, scale = _EXPECTED_INPUTS[backbone]
    state[0] = (
        first_weight * (255 * _STD / scale).view(1, 3, 1, 1),
        first_bias + (first_weight * ((255 * _MEAN - center) / scale).view(1, 3, 1, 1)).sum((1, 2, 3)),
    )
    with torch.no_grad():
        for convolution, (weight, bias) in zip(convolutions, state.values(), strict=True):
            assert convolution.bias is not None
            convolution.weight.copy_(weight)
            convolution.bias.copy_(bias)


def load_resnet(stages: nn.ModuleList, path: Path) -> None:
    """Load a state dict of torchvision's ResNet of the same depth. Raises CheckpointError for other files."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} is not a readable PyTorch checkpoint: {error}") from error
    renamed = {}
    for key, value in loaded.items():
        if match := re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", key):
            level, block, rest = int(match[1]), int(match[2]), match[3]
            renamed[f"{level}.{block + (level == 1)}.{rest}"] = value  # stage 1 begins with the max pooling
        elif match := re.fullmatch(r"(conv|bn)1\.(.+)", key):
            renamed[f"0.{0 if match[1] == 'conv' else 1}.{match[2]}"] = value
    missing = [
        key for key in stages.state_dict() if key not in renamed and key != "0.2.weight"
    ]  # the PReLU of the stem, not in torchvision
    if missing:
        raise CheckpointError(
            f"{path} lacks {missing[0]} and {len(missing) - 1} more keys; expected a ResNet of torchvision"
        )
    stages.load_state_dict(renamed, strict=False)
