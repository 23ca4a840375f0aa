"""Sizes, shapes, ablations and seeds of the networks."""

from __future__ import annotations

import pytest
import torch

from amcnet.models import AMCNet, AMCNetConfig, PWCNet, seed_weights


def test_the_number_of_parameters_equals_the_papers() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in AMCNet().parameters()) == 157_150_475
        assert sum(p.numel() for p in PWCNet().parameters()) == 9_374_274


@pytest.mark.parametrize("corrections", [1, 3, 5])
@pytest.mark.parametrize("gated_levels", [0, 2, 5])
def test_ablation_variants_have_their_number_of_attention_maps(corrections: int, gated_levels: int) -> None:
    config = AMCNetConfig(backbone="resnet18", corrections=corrections, gated_levels=gated_levels)
    network = seed_weights(AMCNet(config), 1)
    image, flow_image = torch.randn(2, 2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        mask, attentions = network(image, flow_image)
    assert mask.shape == (2, 1, 64, 96)
    sizes = [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert [tuple(a.shape[2:]) for a in attentions] == sizes[5 - corrections :], "fine to coarse"
    for values in (mask, *attentions):
        assert 0 < values.min() < values.max() < 1


def test_gate_scores_are_the_factors_of_the_gates() -> None:
    network = seed_weights(AMCNet(AMCNetConfig(backbone="resnet18", gated_levels=3)), 1)
    image, flow_image = torch.randn(2, 2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    gated: list[tuple[torch.Tensor, ...]] = []
    for gate in network.gates:
        gate.register_forward_hook(lambda _, inputs, outputs: gated.append((*inputs, *outputs)))
    with torch.inference_mode():
        details = network.details(image, flow_image)
        assert torch.equal(details.mask, network(image, flow_image).mask)
    assert details.gate_scores.shape == (2, 5, 2)
    assert torch.equal(details.gate_scores[:, 3:], torch.ones(2, 2, 2)), "no gate at the two coarsest levels"
    assert 0 < details.gate_scores[:, :3].min() < details.gate_scores[:, :3].max() < 1
    for level, (before_image, before_flow, after_image, after_flow, _) in enumerate(gated[:3]):
        factors = details.gate_scores[:, level].view(2, 2, 1, 1)
        assert torch.allclose(after_image, before_image * factors[:, :1])
        assert torch.allclose(after_flow, before_flow * factors[:, 1:])


def test_the_baseline_concatenates_the_streams() -> None:
    network = seed_weights(AMCNet(AMCNetConfig(backbone="resnet18", concatenation=True)), 1)
    assert not {"gates", "transfers"} & {name for name, _ in network.named_children()}
    image, flow_image = torch.randn(2, 1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        details = network.details(image, flow_image)
        others = [network(-image, flow_image).mask, network(image, -flow_image).mask]
    assert details.attentions == ()
    assert torch.equal(details.gate_scores, torch.ones(1, 5, 2))
    assert all((other - details.mask).abs().max() > 1e-4 for other in others)


def test_the_appearance_decoder_depends_on_gated_image_features_only() -> None:
    network = seed_weights(AMCNet(AMCNetConfig(backbone="resnet18", appearance_decoder=True)), 1)
    image, flow_image = torch.randn(2, 1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        details = network.details(image, flow_image)
        images, flows, _ = network.encode(image, flow_image)
        main, second = network.decode(images, flows).mask, network.appearance_decoder(images)
    assert second.shape == (1, 1, 64, 96)
    assert [torch.equal(a, b) for a, b in zip(details.decoder_masks, (main, second), strict=True)] == [True, True]
    assert torch.allclose(details.mask, (main + second) / 2)


def test_a_configuration_in_json_is_read_back() -> None:
    config = AMCNetConfig(backbone="resnet34", gated_levels=2, corrections=3, appearance_decoder=True)
    assert AMCNetConfig.from_json(config.to_json()) == config
    earlier = '{"backbone": "mobilenet_v2", "corrections": 5, "gate": false}'
    assert AMCNetConfig.from_json(earlier) == AMCNetConfig(backbone="mobilenet_v2", gated_levels=0)


@pytest.mark.parametrize(
    "wrong",
    [{"backbone": "vgg16"}, {"corrections": 2}, {"gated_levels": 6}, {"concatenation": True, "corrections": 3}],
)
def test_an_invalid_configuration_raises(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        AMCNetConfig(**wrong)  # type: ignore[arg-type]


def test_equal_seeds_give_equal_weights() -> None:
    once, again, other = (seed_weights(PWCNet(), seed).context[6].weight for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
