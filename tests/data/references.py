"""The cases of references.npz: networks with drawn weights and images, and what they compute."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import seeded
import torch
from numpy.typing import NDArray

from amcnet.models import RAFT, AMCNet, AMCNetConfig, PWCNet, load_amcnet, load_pwcnet, load_raft

FILE = Path(__file__).with_name("references.npz")
STATE_DICTS = Path(__file__).with_name("state_dicts.json")  # name -> [[key, shape], …] of the public checkpoints
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])

Outputs = dict[str, NDArray[np.float32]]


def checkpoint(name: str, seed: int = 1) -> dict[str, torch.Tensor]:
    """Drawn weights under the keys of a public checkpoint, a name in state_dicts.json such as `pwcnet_nvlabs`."""
    return _drawn([(key, tuple(shape)) for key, shape in json.loads(STATE_DICTS.read_text())[name]], seed)


def amcnet_outputs(network: AMCNet, image: NDArray[np.uint8], flow_image: NDArray[np.uint8]) -> Outputs:
    """`mask` and `attention0` … of two images (H, W, 3) RGB."""
    with torch.inference_mode():
        output = network(_planes((image / 255 - MEAN) / STD), _planes((flow_image / 255 - MEAN) / STD))
    attentions = {f"attention{index}": tensor.numpy() for index, tensor in enumerate(output.attentions)}
    return {"mask": output.mask.numpy()} | attentions


def pwcnet_outputs(network: PWCNet, frame: NDArray[np.uint8], next_frame: NDArray[np.uint8]) -> Outputs:
    """`flow` of two frames (H, W, 3) RGB."""
    with torch.inference_mode():
        flow = network(_planes(frame[..., ::-1] / 255), _planes(next_frame[..., ::-1] / 255))
    return {"flow": flow.numpy()}


def raft_outputs(network: RAFT, frame: NDArray[np.uint8], next_frame: NDArray[np.uint8]) -> Outputs:
    """`flow` of two frames (H, W, 3) RGB."""
    with torch.inference_mode():
        return {"flow": network(_planes(frame / 255), _planes(next_frame / 255)).numpy()}


def _public_amcnet() -> Outputs:
    """ResNet-101, from a checkpoint with the official keys."""
    network = load_amcnet(checkpoint("amcnet"))
    return amcnet_outputs(network, seeded.image("image", (128, 96)), seeded.image("flow image", (128, 96)))


def _amcnet(config: AMCNetConfig) -> Callable[[], Outputs]:
    def run() -> Outputs:
        with torch.device("meta"):
            entries = [(key, tuple(value.shape)) for key, value in AMCNet(config).state_dict().items()]
        network = load_amcnet(_drawn(entries))
        return amcnet_outputs(network, seeded.image("image", (96, 64)), seeded.image("flow image", (96, 64)))

    return run


def _pwcnet(convention: str) -> Callable[[], Outputs]:
    def run() -> Outputs:
        network = load_pwcnet(checkpoint(f"pwcnet_{convention}"))
        return pwcnet_outputs(network, *seeded.image_pair("frames", (192, 128), (5, -3)))

    return run


def _raft(size: str, iterations: int) -> Callable[[], Outputs]:
    def run() -> Outputs:
        network = load_raft(checkpoint(f"raft_{size}"), iterations)
        flow = raft_outputs(network, *seeded.image_pair("frames", (136, 128), (5, -3)))["flow"]
        return {"flow": flow[:, :, ::3, ::3]}  # at all places within an 8×8 block, in a ninth of the file

    return run


CASES: dict[str, Callable[[], Outputs]] = {
    "amcnet": _public_amcnet,
    "amcnet_resnet18": _amcnet(AMCNetConfig(backbone="resnet18")),
    "amcnet_resnet50_no_gate": _amcnet(AMCNetConfig(backbone="resnet50", corrections=3, gated_levels=0)),
    "amcnet_mobilenet_v2": _amcnet(AMCNetConfig(backbone="mobilenet_v2")),
    "pwcnet_nvlabs": _pwcnet("nvlabs"),
    "pwcnet_sniklaus": _pwcnet("sniklaus"),
    "raft_small": _raft("small", 4),
    "raft_large": _raft("large", 2),
}


def _drawn(entries: list[tuple[str, tuple[int, ...]]], seed: int = 1) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(value) for key, value in seeded.state_dict(entries, seed).items()}


def _planes(image: NDArray[np.generic]) -> torch.Tensor:
    """(H, W, 3) -> (1, 3, H, W) float32."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32))
