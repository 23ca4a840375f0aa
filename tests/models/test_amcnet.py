"""Sizes, shapes, ablations and seeds of the networks."""

from __future__ import annotations

import pytest
import torch

from amcnet.models import AMCNet, AMCNetConfig, PWCNet, seed_weights


def test_number_of_parameters_is_the_papers() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in AMCNet().parameters()) == 157_150_475
        assert sum(p.numel() for p in PWCNet().parameters()) == 9_374_274


@pytest.mark.parametrize("corrections", [1, 3, 5])
@pytest.mark.parametrize("gate", [True, False])
def test_ablation_variants(corrections: int, gate: bool) -> None:
    network = seed_weights(AMCNet(AMCNetConfig(backbone="resnet18", corrections=corrections, gate=gate)), 1)
    image, flow_image = torch.randn(2, 2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        mask, attentions = network(image, flow_image)
    assert mask.shape == (2, 1, 64, 96)
    sizes = [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert [tuple(a.shape[2:]) for a in attentions] == sizes[5 - corrections :], "fine to coarse"
    for values in (mask, *attentions):
        assert 0 < values.min() < values.max() < 1


@pytest.mark.parametrize("wrong", [{"backbone": "vgg16"}, {"corrections": 2}])
def test_an_invalid_configuration_raises(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        AMCNetConfig(**wrong)  # type: ignore[arg-type]


def test_equal_seeds_give_equal_weights() -> None:
    once, again, other = (seed_weights(PWCNet(), seed).context[6].weight for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
