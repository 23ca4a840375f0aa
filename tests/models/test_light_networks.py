"""AMC-Net with the light encoders: output and checkpoints."""

from __future__ import annotations

import pytest
import torch

from amcnet.models import AMCNet, AMCNetConfig, load_amcnet, seed_weights
from amcnet.models.amcnet import LIGHT_BACKBONES
from amcnet.models.attention import separable_block
from amcnet.runtime.errors import CheckpointError


@pytest.fixture(scope="module", params=LIGHT_BACKBONES)
def network(request: pytest.FixtureRequest) -> AMCNet:
    return seed_weights(AMCNet(AMCNetConfig(backbone=request.param)), 0)


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
    coarsest = network.transfers[4].channel.fc1
    assert coarsest.out_channels == coarsest.in_channels // 16 >= 20
    paper = AMCNet(AMCNetConfig(backbone="resnet18"))
    assert paper.corrections[0].channel.fc1.out_channels == 2  # as in the original implementation


@pytest.mark.parametrize("backbone", LIGHT_BACKBONES)
@pytest.mark.parametrize(("corrections", "gated_levels"), [(1, 0), (5, 3), (1, 5), (5, 5)])
def test_the_configuration_is_inferred_from_the_checkpoint(backbone: str, corrections: int, gated_levels: int) -> None:
    config = AMCNetConfig(backbone=backbone, corrections=corrections, gated_levels=gated_levels)
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
