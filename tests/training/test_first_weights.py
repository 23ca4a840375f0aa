"""Initial weights of a training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from amcnet.models import AMCNet, AMCNetConfig
from amcnet.runtime.errors import CheckpointError, InputError
from amcnet.training import LIGHT, train
from amcnet.training.first_weights import make_network

TINY = dataclasses.replace(LIGHT, batch=2, sizes=(32,))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(7)
    path = tmp_path / "weights.pth"
    torch.save(AMCNet(AMCNetConfig(backbone="mobilenet_v2")).state_dict(), path)
    return path


def test_init_gives_the_initial_weights(weights: Path, tmp_path: Path) -> None:
    expected = torch.load(weights)
    network = make_network(LIGHT, init=weights)
    assert network.training
    assert all(torch.equal(expected[key], value) for key, value in network.state_dict().items())
    # With a learning rate of zero the weights must stay the same.
    still = dataclasses.replace(TINY, learning_rate=0.0, encoder_rate=0.0)
    train(still, tmp_path / "out", init=weights, iterations=1)
    result = torch.load(tmp_path / "out" / "last.pth")
    assert all(torch.equal(expected[key], result[key]) for key in expected if "running" not in key and "num" not in key)


def test_init_with_another_network_raises(tmp_path: Path) -> None:
    path = tmp_path / "resnet.pth"
    torch.save(AMCNet(AMCNetConfig(backbone="resnet18")).state_dict(), path)
    with pytest.raises(
        CheckpointError, match=r"recipe 'light': got .*backbone='resnet18'.*expected .*backbone='mobilenet_v2'"
    ):
        make_network(LIGHT, init=path)


def test_init_with_another_shape_raises(weights: Path) -> None:
    state = torch.load(weights)
    state["head.weight"] = torch.zeros(1, 99, 3, 3)
    torch.save(state, weights)
    with pytest.raises(CheckpointError, match=r"wrong shape: head\.weight \(1, 99, 3, 3\) instead of \(1, 16, 3, 3\)"):
        make_network(LIGHT, init=weights)


def test_init_excludes_resume_and_encoder(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--init and --resume"):
        train(TINY, tmp_path / "out", init=weights, resume=True, iterations=1)
    with pytest.raises(InputError, match="--init and --encoder"):
        train(TINY, tmp_path / "out", init=weights, encoder=weights, iterations=1)
    assert not (tmp_path / "out").exists()
