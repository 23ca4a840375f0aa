"""Loading of checkpoints in all supported forms, and the errors for other files."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from references import checkpoint

from amcnet.models import (
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
from amcnet.runtime.errors import CheckpointError

StateDict = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def pwcnet() -> PWCNet:
    return seed_weights(PWCNet(), 1)


def _same(network: torch.nn.Module, other: torch.nn.Module) -> bool:
    ours, theirs = network.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def _safetensors(state: StateDict, path: Path) -> None:
    from safetensors.torch import save_file

    save_file(state, path)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("plain.pth", lambda state, path: torch.save(state, path)),
        ("wrapped.pt", lambda state, path: torch.save({"epoch": 3, "state_dict": state}, path)),
        ("model.tar", lambda state, path: torch.save({"model": state}, path)),
        ("old.tar", lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False)),
        ("parallel.pth", lambda state, path: torch.save({f"module.{k}": v for k, v in state.items()}, path)),
        ("half.pth", lambda state, path: torch.save({k: v.double() for k, v in state.items()}, path)),
        ("weights.safetensors", _safetensors),
    ],
)
def test_supported_forms_of_checkpoints_are_loaded(
    name: str, save: Callable[[StateDict, Path], None], pwcnet: PWCNet, tmp_path: Path
) -> None:
    save(pwcnet.state_dict(), tmp_path / name)
    loaded = load_pwcnet(tmp_path / name)
    assert _same(loaded, pwcnet)
    assert not loaded.training


def test_old_names_of_sniklaus_are_loaded() -> None:
    today = checkpoint("pwcnet_sniklaus")
    old = {key.replace("net", "module"): value for key, value in today.items()}
    assert next(iter(old)).startswith("moduleExtractor.moduleOne")
    assert _same(load_pwcnet(old), load_pwcnet(today))


@pytest.mark.parametrize(
    "config",
    [
        AMCNetConfig(backbone="resnet18", corrections=1),
        AMCNetConfig(backbone="resnet34", corrections=3, gated_levels=0),
        AMCNetConfig(backbone="resnet18", gated_levels=2, appearance_decoder=True),
        AMCNetConfig(backbone="mobilenet_v2", concatenation=True),
        AMCNetConfig(backbone="resnet50"),
    ],
)
def test_the_configuration_is_inferred_from_the_keys(config: AMCNetConfig) -> None:
    network = seed_weights(AMCNet(config), 2)
    loaded = load_amcnet(network.state_dict())
    assert loaded.config == config
    assert _same(loaded, network)


def test_unused_layers_of_the_patch_variant_are_dropped() -> None:
    network = seed_weights(AMCNet(AMCNetConfig(backbone="resnet18")), 1)
    extra = {"rgb_dem0.0.weight": torch.zeros(32, 64, 3, 3), "rgb_sa0.ffn.weight": torch.zeros(1)}
    assert _same(load_amcnet(network.state_dict() | extra), network)


def test_a_pickle_with_code_is_not_loaded(tmp_path: Path) -> None:
    marker = tmp_path / "code-ran"

    class Code:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (marker,))

    for name, save in (("torch.pth", torch.save), ("pickle.pth", lambda o, p: p.write_bytes(pickle.dumps(o)))):
        globals()["Code"] = Code  # pickle finds classes by name
        Code.__qualname__ = "Code"
        save({"state_dict": Code()}, tmp_path / name)
        with pytest.raises(CheckpointError, match=r"was not loaded: .* would run code"):
            load_pwcnet(tmp_path / name)
    assert not marker.exists()


def test_the_error_for_another_network_lists_keys_and_the_network(pwcnet: PWCNet, tmp_path: Path) -> None:
    torch.save(pwcnet.state_dict(), tmp_path / "pwc.pth")
    with pytest.raises(CheckpointError) as caught:
        load_amcnet(tmp_path / "pwc.pth")
    message = str(caught.value)
    assert "pwc.pth is not a checkpoint of AMCNet; it looks like PWCNet" in message
    assert "missing: image_stages.0.0.weight, " in message
    assert "unexpected: pyramid.0.0.0.weight, " in message
    assert message.count(", ") == 2 * 4, "five keys of each kind"


def test_the_error_for_a_wrong_shape_gives_both_shapes(pwcnet: PWCNet) -> None:
    state = pwcnet.state_dict() | {"context.6.bias": torch.zeros(3)}
    with pytest.raises(CheckpointError, match=r"wrong shape: context\.6\.bias \(3,\) instead of \(2,\)"):
        load_pwcnet(state)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither a zip archive nor a pickle"),
        (b"hello", "neither a zip archive nor a pickle"),
        (b"PK\x03\x04 cut off", "not a readable PyTorch checkpoint"),
    ],
)
def test_other_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "file.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_pwcnet(tmp_path / "file.pth")


def test_other_objects_are_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "epoch.pth")
    with pytest.raises(CheckpointError, match="got a dictionary with the keys 'epoch'; expected a state dict"):
        load_pwcnet(tmp_path / "epoch.pth")
    with pytest.raises(CheckpointError, match="no such file"):
        load_pwcnet(tmp_path / "absent.pth")
    (tmp_path / "weights.safetensors").write_bytes(b"12345678")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_pwcnet(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("large", [False, True])
def test_small_and_large_raft_are_recognized(large: bool) -> None:
    public = checkpoint("raft_large" if large else "raft_small")
    network = load_raft({f"module.{key}": value for key, value in public.items()}, iterations=3)
    assert network.config == RAFTConfig(large=large, iterations=3)
    assert not network.training
    assert _same(network, load_raft(public))
    assert _same(network, load_raft(network.state_dict()))
    assert load_raft(public).config.iterations == 12


def test_wrong_checkpoints_and_sizes_of_raft_are_refused(pwcnet: PWCNet) -> None:
    with pytest.raises(CheckpointError, match="is not a checkpoint of RAFT; it looks like PWCNet"):
        load_raft(pwcnet.state_dict())
    with pytest.raises(CheckpointError, match="is not a checkpoint of PWCNet; it looks like RAFT"):
        load_pwcnet(checkpoint("raft_large"))
    with pytest.raises(ValueError, match="iterations is 0; expected at least 1"):
        load_raft(checkpoint("raft_small"), iterations=0)
    with torch.device("meta"):
        network = RAFT()
    for size in ((64, 60), (56, 64)):
        with pytest.raises(ValueError, match="expected multiples of 8, at least 64"):
            network(*torch.zeros((2, 1, 3, *size), device="meta"))
