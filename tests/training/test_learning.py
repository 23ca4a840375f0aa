"""Loss, learning rates, ImageNet weights of the encoders, and validation scores."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from amcnet.models import AMCNet, AMCNetConfig
from amcnet.models.amcnet import LIGHT_BACKBONES, AMCNetDetails, AMCNetOutput
from amcnet.models.inverted_residual import inverted_residual_stages
from amcnet.models.resnet import resnet_stages
from amcnet.runtime.errors import CheckpointError
from amcnet.training.data.procedural import procedural_sample
from amcnet.training.encoder_weights import load_encoders, load_folded, load_resnet
from amcnet.training.loss import segmentation_loss, soft_iou
from amcnet.training.optimizer import make_optimizer, rate_factor
from amcnet.training.recipe import LIGHT, PAPER
from amcnet.training.validation import Scores, normalize, score_sequences


def test_the_loss_is_the_sum_over_the_mask_and_the_attention_maps() -> None:
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 2:] = 1
    probability = torch.full((1, 1, 4, 4), 0.5)
    attentions = (torch.full((1, 1, 2, 2), 0.2), torch.full((1, 1, 1, 1), 0.1))
    output = AMCNetDetails(probability, attentions, torch.ones(1, 5, 2), (probability,))
    halves = -(math.log(0.2) + math.log(0.8)) / 2
    expected = -math.log(0.5) + halves - math.log(0.9)  # the nearest pixel of the 1x1 map is the top left: background
    assert segmentation_loss(output, mask, 0.0).item() == pytest.approx(expected, abs=1e-6)
    iou = (8 * 0.5 + 1) / (8 * 0.5 + 8 - 8 * 0.5 + 8 * 0.5 + 1)
    assert segmentation_loss(output, mask, 2.0).item() == pytest.approx(expected + 2 * (1 - iou), abs=1e-6)
    fewer = [segmentation_loss(output, mask, supervised_attentions=count).item() for count in (0, 1, 2, 5)]
    assert fewer == pytest.approx([-math.log(0.5), expected - halves, expected, expected], abs=1e-6)
    second = torch.full((1, 1, 4, 4), 0.9)
    both = output._replace(mask=(probability + second) / 2, decoder_masks=(probability, second))
    own = -(math.log(0.9) + math.log(0.1)) / 2
    assert segmentation_loss(both, mask).item() == pytest.approx(expected + own, abs=1e-6)


def test_soft_iou_of_perfect_empty_and_disjoint_masks() -> None:
    mask = torch.zeros(3, 1, 10, 10)
    mask[0, :, :5] = mask[2, :, :5] = 1
    probability = torch.zeros_like(mask)
    probability[0, :, :5] = 1
    probability[2, :, 5:] = 1
    assert soft_iou(probability, mask).tolist() == pytest.approx([1, 1, 1 / 101])


def test_learning_rates_of_the_papers_recipe() -> None:
    """Biases have twice the rate and no weight decay; all other parameters, norms and PReLUs included, have it."""
    network = AMCNet(AMCNetConfig(backbone="resnet18"))
    optimizer = make_optimizer(network, PAPER)
    seen = {}
    for group in optimizer.param_groups:
        assert group["momentum"] == 0.9
        seen.update({id(parameter): (group["lr"], group["weight_decay"]) for parameter in group["params"]})
    for name, parameter in network.named_parameters():
        assert seen[id(parameter)] == ((2e-3, 0.0) if name.endswith("bias") else (1e-3, 5e-4)), name


def test_the_light_recipe_has_a_lower_rate_for_the_encoders() -> None:
    network = AMCNet(AMCNetConfig(backbone="mobilenet_v2"))
    optimizer = make_optimizer(network, LIGHT)
    rates = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in network.named_parameters():
        in_encoder = "_stages." in name
        assert rates[id(parameter)] == (LIGHT.encoder_rate if in_encoder else LIGHT.learning_rate), name


def test_warm_up_and_decay_of_the_rate() -> None:
    assert rate_factor(PAPER, 0, 1000) == 1
    assert rate_factor(PAPER, 500, 1000) == pytest.approx(0.5**0.9)
    assert 0 < rate_factor(PAPER, 999, 1000) < 0.003
    factors = [rate_factor(LIGHT, i, 1000) for i in range(1000)]
    assert factors[0] == pytest.approx(1 / LIGHT.warmup)
    assert np.argmax(factors) == LIGHT.warmup - 1


def test_an_unknown_optimizer_raises() -> None:
    with pytest.raises(ValueError, match="expected 'sgd' or 'adamw'"):
        make_optimizer(AMCNet(AMCNetConfig(backbone="resnet18")), dataclasses.replace(PAPER, optimizer="lion"))


def light_encoder(backbone: str) -> torch.nn.ModuleList:
    return inverted_residual_stages(LIGHT_BACKBONES[backbone])[0]


def write_folded(path: Path, backbone: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    tensors = {}
    for index, module in enumerate(m for m in light_encoder(backbone).modules() if isinstance(m, torch.nn.Conv2d)):
        shape = tuple(module.weight.shape)
        tensors[f"conv{index:02d}.weight"] = rng.normal(0, 0.1, shape).astype(np.float16)
        tensors[f"conv{index:02d}.bias"] = rng.normal(0, 0.1, shape[0]).astype(np.float16)
    np.savez(path, **tensors)
    return tensors


@pytest.mark.parametrize(
    ("backbone", "center", "scale"), [("mobilenet_v2", 127.5, 127.5), ("efficientnet_lite2", 127, 128)]
)
def test_the_first_convolution_includes_the_input_conversion(
    backbone: str, center: float, scale: float, tmp_path: Path
) -> None:
    tensors = write_folded(tmp_path / "m.npz", backbone)
    stages = light_encoder(backbone)
    load_folded(stages, tmp_path / "m.npz", backbone)
    image = np.random.default_rng(1).integers(0, 256, (1, 16, 16, 3), np.uint8)
    original = (torch.from_numpy(image).permute(0, 3, 1, 2).float() - center) / scale
    weight, bias = (torch.from_numpy(tensors[f"conv00.{k}"].astype(np.float32)) for k in ("weight", "bias"))
    expected = torch.nn.functional.conv2d(original, weight, bias, 2, 1)
    with torch.no_grad():
        ours = stages[0][0](normalize(torch.from_numpy(image), torch.device("cpu")))
    # Zero padding is gray for the original weights and the mean color for ours, so borders differ.
    assert (ours - expected)[..., 1:, 1:].abs().max() < 1e-5
    last = torch.from_numpy(tensors[f"conv{len(tensors) // 2 - 1:02d}.weight"].astype(np.float32))
    assert torch.equal(stages[4][-1].project.weight.detach(), last)


def test_other_archives_raise(tmp_path: Path) -> None:
    tensors = write_folded(tmp_path / "m.npz", "mobilenet_v2")
    with pytest.raises(CheckpointError, match="does not hold efficientnet_lite0: conv10"):
        load_folded(light_encoder("efficientnet_lite0"), tmp_path / "m.npz", "efficientnet_lite0")
    del tensors["conv07.weight"]
    np.savez(tmp_path / "short.npz", **tensors)
    with pytest.raises(CheckpointError, match="does not hold mobilenet_v2: conv07 is None"):
        load_folded(light_encoder("mobilenet_v2"), tmp_path / "short.npz", "mobilenet_v2")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(CheckpointError, match="not a readable"):
        load_folded(light_encoder("mobilenet_v2"), tmp_path / "text.npz", "mobilenet_v2")


@pytest.mark.parametrize("backbone", LIGHT_BACKBONES)
def test_public_weights_of_the_light_encoders(backbone: str, shared: Callable[[str], Path]) -> None:
    """Both encoders have them. On photos, the features of the original classifiers have a deviation of 2 to 12."""
    network = AMCNet(AMCNetConfig(backbone=backbone)).eval()
    load_encoders(network, shared(f"data/weights/{backbone}_imagenet.npz"))
    image = normalize(torch.from_numpy(procedural_sample(np.random.default_rng(0)).image[None]), torch.device("cpu"))
    x = y = image
    for level, (stage, other) in enumerate(zip(network.image_stages, network.flow_stages, strict=True)):
        x, y = stage(x), other(y)
        assert torch.equal(x, y)
        assert 0.5 < x.std() < 20, level


def test_names_of_torchvision(tmp_path: Path) -> None:
    source, _ = resnet_stages("resnet18")
    for parameter in source.parameters():
        torch.nn.init.uniform_(parameter)
    theirs = {"fc.weight": torch.zeros(1000, 512)}
    for key, value in source.state_dict().items():
        level, index, rest = key.split(".", 2)
        if level == "0":
            theirs[f"{ {'0': 'conv1', '1': 'bn1', '2': 'prelu'}[index] }.{rest}"] = value
        else:
            theirs[f"layer{level}.{int(index) - (level == '1')}.{rest}"] = value
    torch.save(theirs, tmp_path / "resnet18.pth")
    ours, _ = resnet_stages("resnet18")
    load_resnet(ours, tmp_path / "resnet18.pth")
    for key, value in source.state_dict().items():
        if key != "0.2.weight":
            assert torch.equal(ours.state_dict()[key], value), key
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="lacks 0"):
        load_resnet(ours, tmp_path / "other.pth")


class FixedMask(torch.nn.Module):
    """A stand-in network that returns a given mask."""

    def __init__(self, mask: np.ndarray) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.mask = torch.from_numpy(mask).float()[None, None]

    def forward(self, image: torch.Tensor, flow_image: torch.Tensor) -> AMCNetOutput:
        assert image.shape == flow_image.shape == (1, 3, 96, 96)
        return AMCNetOutput(torch.nn.functional.interpolate(self.mask, (96, 96), mode="area"), ())


def test_scores_are_j_and_f_at_the_size_of_the_annotation() -> None:
    sample = procedural_sample(np.random.default_rng(0))
    truth = sample.mask > 0

    def score(mask: np.ndarray) -> Scores:
        return score_sequences(FixedMask(mask), {"drawn": [sample]}, 96)["drawn"]  # type: ignore[arg-type]

    assert score(truth).region > 0.93
    assert score(truth).boundary > 0.9
    assert (score(truth & False).region, score(truth & False).boundary) == (0, 0)
    assert score(truth | True).region == pytest.approx(truth.mean())
    assert score(truth | True).boundary == 0


def test_sequences_have_equal_weight_whatever_their_length() -> None:
    sample = procedural_sample(np.random.default_rng(0))
    empty = dataclasses.replace(sample, mask=np.zeros_like(sample.mask))
    network = FixedMask(sample.mask > 0)
    scores = score_sequences(network, {"seen": [sample], "missed": [empty] * 3}, 96)  # type: ignore[arg-type]
    assert scores["missed"] == Scores(region=0, boundary=0)
    assert Scores.average(list(scores.values())).mean == pytest.approx(scores["seen"].mean / 2)
