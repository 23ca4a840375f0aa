"""Initial weights from an exported ONNX file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from exports import EFFICIENT, SEED

from amcnet.export import Exported
from amcnet.models import AMCNet, seed_weights
from amcnet.runtime.errors import CheckpointError, ModelFileError
from amcnet.runtime.files.bundled_network import DEFAULT_AMCNET, DEFAULT_INT8
from amcnet.runtime.files.onnx_file import CONFIG
from amcnet.training import LIGHT, train
from amcnet.training.exported_weights import read_exported, restore_batch_norms


@pytest.fixture(scope="module")
def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    image, flow_image = torch.randn(2, 4, 3, 256, 256, generator=generator)
    return image, flow_image


def output_of_the_file(images: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    session = onnxruntime.InferenceSession(str(DEFAULT_AMCNET))
    inputs = {"image": images[0][:1].numpy(), "flow_image": images[1][:1].numpy()}
    return torch.from_numpy(session.run(["mask"], inputs)[0])


@torch.inference_mode()
def test_the_network_computes_what_the_file_computes(images: tuple[torch.Tensor, torch.Tensor]) -> None:
    expected = output_of_the_file(images)
    network = read_exported(DEFAULT_AMCNET)
    assert torch.allclose(network(images[0][:1], images[1][:1]).mask, expected, atol=1e-5)

    restore_batch_norms(network, *images)
    assert torch.allclose(network(images[0][:1], images[1][:1]).mask, expected, atol=1e-5)
    # Training normalizes by the statistics of the batch. They were measured on this one, so the output is the same.
    assert torch.allclose(network.train()(*images).mask[:1], expected, atol=1e-4)


def test_training_starts_from_the_bundled_network(images: tuple[torch.Tensor, torch.Tensor], tmp_path: Path) -> None:
    still = dataclasses.replace(LIGHT, batch=2, sizes=(32,), learning_rate=0.0, encoder_rate=0.0)
    train(still, tmp_path, init=DEFAULT_AMCNET, iterations=1)
    before, after = read_exported(DEFAULT_AMCNET).state_dict(), torch.load(tmp_path / "last.pth")
    assert all(torch.equal(before[key], after[key]) for key in before if "stages" in key or "channel.fc" in key)


@pytest.mark.slow  # the export
@torch.inference_mode()
def test_a_file_with_efficientnet_encoders(exported: Callable[[str], Exported]) -> None:
    expected = seed_weights(AMCNet(EFFICIENT), SEED.number)
    image, flow_image = torch.randn(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    network = read_exported(exported("efficient").file.path)
    assert network.config == EFFICIENT
    assert torch.allclose(network(image, flow_image).mask, expected(image, flow_image).mask, atol=1e-5)


def test_files_that_hold_other_weights_raise(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        read_exported(tmp_path / "missing.onnx")
    with pytest.raises(CheckpointError, match=r"does not hold the weights of .* Fix: give --init the FP32 file"):
        read_exported(DEFAULT_INT8)
    model = onnx.load(DEFAULT_AMCNET)
    config = next(entry for entry in model.metadata_props if entry.key == CONFIG)
    config.value = config.value.replace("mobilenet_v2", "resnet18")
    path = tmp_path / "resnet.onnx"
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match=r"resnet18 encoders; expected one of mobilenet_v2, .*checkpoint"):
        read_exported(path)
