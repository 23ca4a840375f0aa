"""Encoders of inverted residual blocks: their levels, their blocks, and agreement with the published networks."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import pad

from amcnet.models.amcnet import LIGHT_BACKBONES
from amcnet.models.inverted_residual import InvertedResidual, inverted_residual_stages

# Channels of the levels; parameters of the published classifier, including a scale and a bias for each norm, of which
# 1,281,000 belong to its last layer.
PUBLISHED = {
    "mobilenet_v2": ((16, 24, 32, 96, 320), 3_504_872),
    "efficientnet_lite0": ((16, 24, 40, 112, 320), 4_652_008),
    "efficientnet_lite2": ((16, 24, 48, 120, 352), 6_092_072),
}


@pytest.mark.parametrize("backbone", LIGHT_BACKBONES)
def test_the_levels_are_at_strides_2_to_32(backbone: str) -> None:
    stages, channels = inverted_residual_stages(LIGHT_BACKBONES[backbone])
    assert channels == PUBLISHED[backbone][0]
    x = torch.zeros(1, 3, 64, 96)
    for level, stage in enumerate(stages):
        x = stage(x)
        assert x.shape == (1, channels[level], 64 >> (level + 1), 96 >> (level + 1))


@pytest.mark.parametrize("backbone", LIGHT_BACKBONES)
def test_an_encoder_is_the_classifier_without_its_last_two_layers(backbone: str) -> None:
    stages, channels = inverted_residual_stages(LIGHT_BACKBONES[backbone])
    convolutions = [module for module in stages.modules() if isinstance(module, torch.nn.Conv2d)]
    biases = sum(convolution.bias.numel() for convolution in convolutions if convolution.bias is not None)
    unfolded = sum(parameter.numel() for parameter in stages.parameters()) + biases  # each norm has a scale besides
    last_convolution = 1280 * channels[-1] + 2 * 1280
    assert unfolded == PUBLISHED[backbone][1] - 1_281_000 - last_convolution


def test_a_shortcut_needs_equal_shapes() -> None:
    assert InvertedResidual(24, 24, 1, 6).shortcut
    assert not InvertedResidual(24, 24, 2, 6).shortcut
    assert not InvertedResidual(24, 32, 1, 6).shortcut
    block = InvertedResidual(24, 24, 1, 6)
    torch.nn.init.zeros_(block.project.weight)
    torch.nn.init.zeros_(block.project.bias)  # type: ignore[arg-type]
    x = torch.randn(1, 24, 4, 4)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("kernel", [3, 5])
def test_padding_differs_from_the_original_by_a_shift_of_one_pixel(kernel: int) -> None:
    block = InvertedResidual(4, 6, 2, 2, kernel).eval()
    x = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = block(x)
        block.depthwise[0].padding = 0
        # TensorFlow's "same" padding of an even size at stride 2: (kernel - 2) // 2 left, one more right.
        before = (kernel - 2) // 2
        inner = block.expand(pad(x, (1, -1, 1, -1)))  # shifted by one pixel
        original = block.project(block.depthwise(pad(inner, (before, before + 1) * 2)))
    assert ours.shape == original.shape
    assert torch.allclose(ours[..., 2:-2, 2:-2], original[..., 2:-2, 2:-2], atol=1e-6)
