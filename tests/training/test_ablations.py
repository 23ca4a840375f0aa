"""Every row of the paper's ablation tables, and the FBMS variant: builds and trains a step."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from ablations import ROWS

from amcnet.models import load_amcnet
from amcnet.training.data.batches import Source
from amcnet.training.first_weights import make_network
from amcnet.training.gradient import Gradient
from amcnet.training.recipe import LIGHT


@pytest.mark.parametrize("changes", ROWS.values(), ids=ROWS)
def test_a_step_gives_every_part_a_gradient(changes: dict[str, Any]) -> None:
    recipe = dataclasses.replace(LIGHT, batch=2, sizes=(64,), **changes)
    network = make_network(recipe)
    assert load_amcnet(network.state_dict()).config == network.config
    with Gradient(network, recipe, Source(), range(1), cores=1) as gradient:
        assert torch.isfinite(gradient.fill())
    parts = {name for name, part in network.named_children() if any(True for _ in part.parameters())}
    trained = [name for name, parameter in network.named_parameters() if parameter.grad is not None]
    assert {name.partition(".")[0] for name in trained} == parts
    assert ("appearance_decoder.scores.0.1.weight" in trained) == network.config.appearance_decoder


def test_the_number_of_supervised_attention_maps_changes_the_loss() -> None:
    losses = []
    for supervised in range(6):
        recipe = dataclasses.replace(LIGHT, batch=2, sizes=(64,), supervised_attentions=supervised)
        with Gradient(make_network(recipe), recipe, Source(), range(1), cores=1) as gradient:
            losses.append(float(gradient.fill()))
    assert losses == sorted(set(losses)), "each map adds its cross-entropy"
