"""AMC-Net with MobileNetV2: levels, output and checkpoints."""

from __future__ import annotations

import pytest
import torch

from amcnet.models import AMCNet, AMCNetConfig, load_amcnet, seed_weights
from amcnet.models.attention import separable_block
from amcnet.models.mobilenet import InvertedResidual, mobilenet_v2_stages
from amcnet.runtime.errors import CheckpointError


@pytest.fixture(scope="module")
def network() -> AMCNet:
    return seed_weights(AMCNet(AMCNetConfig(backbone="mobilenet_v2")), 0)


def test_the_levels_are_at_strides_2_to_32() -> None:
    stages, channels = mobilenet_v2_stages()
    assert channels == (16, 24, 32, 96, 320)
    x = torch.zeros(1, 3, 64, 96)
    for level, stage in enumerate(stages):
        x = stage(x)
        assert x.shape == (1, channels[level], 64 >> (level + 1), 96 >> (level + 1))


def test_the_encoder_is_mobilenet_v2_without_its_last_convolution() -> None:
    stages, _ = mobilenet_v2_stages()
    convolutions = [module for module in stages.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 51
    biases = sum(convolution.bias.numel() for convolution in convolutions if convolution.bias is not None)
    # Unfolded, each norm has a scale besides. The classifier has 3,504,872 parameters, of these 1,281,000 in its linear
    # layer and 412,160 in its last convolution and norm.
    unfolded = sum(parameter.numel() for parameter in stages.parameters()) + biases
    assert unfolded == 3_504_872 - 1_281_000 - 412_160


def test_a_shortcut_needs_equal_shapes() -> None:
    assert InvertedResidual(24, 24, 1, 6).shortcut
    assert not InvertedResidual(24, 24, 2, 6).shortcut
    assert not InvertedResidual(24, 32, 1, 6).shortcut
    block = InvertedResidual(24, 24, 1, 6)
    torch.nn.init.zeros_(block.project.weight)
    torch.nn.init.zeros_(block.project.bias)  # type: ignore[arg-type]
    x = torch.randn(1, 24, 4, 4)
    assert torch.equal(block(x), x)


def test_the_receptive_field_of_a_separable_block() -> None:
    block = separable_block(4, 6).eval()
    torch.nn.init.ones_(block[0].weight)
    torch.nn.init.ones_(block[1].weight)
    x = torch.zeros(1, 4, 7, 7)
    x[0, 2, 3, 3] = 1
    reached = block(x)[0] > 0
    assert reached.all(0).sum() == 9
    assert reached.any(0)[2:5, 2:5].all()
    assert (block(-x)[0] < 0).sum() == 6 * 9  # leaky: negative inputs pass with a small slope


def test_the_mask_depends_on_both_streams(network: AMCNet) -> None:
    generator = torch.Generator().manual_seed(1)
    image, flow_image = torch.randn(2, 1, 3, 64, 96, generator=generator)
    with torch.inference_mode():
        output = network(image, flow_image)
        others = [network(-image, flow_image).mask, network(image, -flow_image).mask]
    assert output.mask.shape == (1, 1, 64, 96)
    assert [a.shape[2:] for a in output.attentions] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert 0 < output.mask.min() <= output.mask.max() < 1
    assert all((other - output.mask).abs().max() > 1e-4 for other in others)


def test_narrow_levels_have_at_least_8_hidden_channels_in_attention(network: AMCNet) -> None:
    assert network.transfers[0].channel.fc1.out_channels == 8
    assert network.transfers[4].channel.fc1.out_channels == 20
    paper = AMCNet(AMCNetConfig(backbone="resnet18"))
    assert paper.corrections[0].channel.fc1.out_channels == 2  # as in the original implementation


@pytest.mark.parametrize("corrections", [1, 5])
@pytest.mark.parametrize("gated_levels", [0, 3, 5])
def test_the_configuration_is_inferred_from_the_checkpoint(corrections: int, gated_levels: int) -> None:
    config = AMCNetConfig(backbone="mobilenet_v2", corrections=corrections, gated_levels=gated_levels)
    state = AMCNet(config).state_dict()
    loaded = load_amcnet(state)
    assert loaded.config == config
    assert all(torch.equal(state[key], value) for key, value in loaded.state_dict().items())


def test_a_checkpoint_with_a_missing_key_raises(network: AMCNet) -> None:
    state = network.state_dict()
    del state["head.bias"]
    with pytest.raises(CheckpointError, match=r"head\.bias"):
        load_amcnet(state)


def test_an_unknown_backbone_raises() -> None:
    with pytest.raises(ValueError, match="mobilenet_v2"):
        AMCNetConfig(backbone="mobilenet_v9")
