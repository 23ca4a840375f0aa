"""Loading of checkpoints: a file or state dict -> a network in eval mode."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..runtime.errors import CheckpointError
from ..runtime.extras import needed_by
from .amcnet import AMCNet, AMCNetConfig
from .checkpoint_keys import amcnet_key, pwcnet_key, raft_key
from .pwcnet import PWCNet
from .raft import RAFT, RAFTConfig

Checkpoint = str | Path | Mapping[str, Tensor]


def load_amcnet(checkpoint: Checkpoint) -> AMCNet:
    """Load an AMC-Net, in eval mode, on the CPU.

    checkpoint: a file (.pth, .pt, .tar, .safetensors) or a state dict, with the key names of the official
    implementation or of this package. The keys determine the configuration (`AMCNetConfig`).
    Raises CheckpointError for a file that cannot be read, would run code, or holds another network.

        network = load_amcnet("amc.pth")
    """
    name, tensors = _read(checkpoint, amcnet_key)
    with torch.device("meta"):
        network = AMCNet(_config(tensors))
    _fill(network, tensors, name)
    return network.eval()


def load_pwcnet(checkpoint: Checkpoint) -> PWCNet:
    """Load a PWC-Net, in eval mode, on the CPU.

    checkpoint: a file (.pth, .pt, .tar, .safetensors) or a state dict, with the key names of NVlabs/PWC-Net, of
    sniklaus/pytorch-pwc or of this package.
    Raises CheckpointError for a file that cannot be read, would run code, or holds another network.
    """
    name, tensors = _read(checkpoint, pwcnet_key)
    with torch.device("meta"):
        network = PWCNet()
    _fill(network, tensors, name)
    return network.eval()


def load_raft(checkpoint: Checkpoint, iterations: int = 12) -> RAFT:
    """Load a RAFT, small or large, in eval mode, on the CPU.

        network = load_raft("raft-small.pth", iterations=6)

    checkpoint: a file (.pth, .pt, .tar, .safetensors) or a state dict, with the key names of princeton-vl/RAFT (with or
    without the prefix `module.`) or of this package. The keys tell the small network from the large one.
    iterations: corrections of the flow, at least 1. The paper's networks were trained with 12.
    Raises CheckpointError for a file that cannot be read, would run code, or holds another network; ValueError for
    `iterations` below 1.
    """
    name, tensors = _read(checkpoint, raft_key)
    with torch.device("meta"):
        network = RAFT(RAFTConfig(large="update.mask.0.weight" in tensors, iterations=iterations))
    _fill(network, tensors, name)
    return network.eval()


def _read(checkpoint: Checkpoint, rename: Callable[[str], str | None]) -> tuple[str, dict[str, Tensor]]:
    """Return a name for messages, and the tensors (float32, or integer counters) under this package's key names."""
    name = "the state dict" if isinstance(checkpoint, Mapping) else Path(checkpoint).name
    loaded: object = checkpoint if isinstance(checkpoint, Mapping) else _load_file(Path(checkpoint))
    for wrapper in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not loaded or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise CheckpointError(
            f"{name} is not a checkpoint: got {_describe(loaded)}; expected a state dict of tensors, plain or under "
            "'state_dict' or 'model'. Fix: torch.save(network.state_dict(), path)"
        )
    tensors: dict[str, Tensor] = {}
    parallel = all(key.startswith("module.") for key in loaded)  # saved from DataParallel
    for key, value in loaded.items():
        ours = rename(key.removeprefix("module.") if parallel else key)
        if ours is not None:
            tensors[ours] = value.float() if value.is_floating_point() else value
    return name, tensors


def _load_file(path: Path) -> object:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; expected a checkpoint such as amc.pth")
    if path.suffix == ".safetensors":
        with needed_by(f"reading {path.name}"):
            from safetensors import SafetensorError
            from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"PK\x03\x04" and magic[:1] != b"\x80":
        raise CheckpointError(f"{path} is not a PyTorch checkpoint: it is neither a zip archive nor a pickle file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} was not loaded: it holds Python objects besides tensors, and loading them would run code. Fix, if "
            "the file is trusted: torch.save(torch.load(path, weights_only=False)['state_dict'], 'weights.pth')"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a readable PyTorch checkpoint: {reason}") from error


def _describe(loaded: object) -> str:
    if isinstance(loaded, Mapping):
        return f"a dictionary with the keys {', '.join(map(repr, list(loaded)[:5]))}" if loaded else "nothing"
    return f"a {type(loaded).__name__}"


def _config(tensors: Mapping[str, Tensor]) -> AMCNetConfig:
    """Infer the configuration from the keys; unknown keys give the paper's, and `_fill` then reports the difference."""
    stage = [key for key in tensors if key.startswith("image_stages.3.")]
    blocks = len({key.split(".")[2] for key in stage})
    bottleneck, light = any(".conv3." in key for key in stage), any(".depthwise." in key for key in stage)
    resnets = {(2, False): "resnet18", (6, False): "resnet34", (6, True): "resnet50", (23, True): "resnet101"}
    light_backbones = {6: "efficientnet_lite0", 7: "mobilenet_v2", 8: "efficientnet_lite2"}
    corrections = len({key.split(".")[1] for key in tensors if ".fuse_flow." in key})
    gated = len({key.split(".")[1] for key in tensors if key.startswith("gates.")})
    concatenation = any(key.startswith("corrections.0.fuse.") for key in tensors)
    return AMCNetConfig(
        backbone=light_backbones.get(blocks, "mobilenet_v2")
        if light
        else resnets.get((blocks, bottleneck), "resnet101"),
        gated_levels=gated if blocks and not concatenation else 5,
        corrections=corrections if corrections in (1, 3, 5) else 5,
        concatenation=concatenation,
        appearance_decoder=any(key.startswith("appearance_decoder.") for key in tensors),
    )


def _fill(network: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Assign the tensors to the network (on the meta device); raise CheckpointError unless they match exactly."""
    expected = network.state_dict()
    missing = [key for key in expected if key not in tensors]
    unexpected = [key for key in tensors if key not in expected]
    misshapen = [
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    if missing or unexpected or misshapen:
        lines = [f"{name} is not a checkpoint of {type(network).__name__}; {_looks_like(tensors)}."]
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("wrong shape", misshapen)):
            if keys:
                more = f" … and {len(keys) - 5} more" if len(keys) > 5 else ""
                lines.append(f"  {what}: {', '.join(keys[:5])}{more}")
        raise CheckpointError("\n".join(lines))
    network.load_state_dict(tensors, strict=True, assign=True)


def _looks_like(tensors: Mapping[str, Tensor]) -> str:
    """Describe the network that these keys resemble, for error messages."""
    alike = {
        "AMCNet": _share(tensors, amcnet_key, ("image_stages.", "flow_stages.", "gates.")),
        "PWCNet": _share(tensors, pwcnet_key, ("pyramid.", "estimators.")),
        "RAFT": _share(tensors, raft_key, ("features.", "context.", "update.")),
    }
    best = max(alike, key=lambda network: alike[network])
    if alike[best] >= 0.5:
        return f"it looks like {best}"
    if any(key.startswith("layer4.") for key in tensors):
        return "it looks like a ResNet classifier, as for ImageNet"
    return "it looks like none of AMCNet, PWCNet and RAFT"


def _share(tensors: Mapping[str, Tensor], rename: Callable[[str], str | None], prefixes: tuple[str, ...]) -> float:
    return sum((rename(key) or "").startswith(prefixes) for key in tensors) / len(tensors)
