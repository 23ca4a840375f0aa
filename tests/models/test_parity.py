"""Parity with the original implementations, for each naming convention of checkpoints.

Needs the shared test data. test_references.py repeats the comparison with stored outputs that have passed here.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from references import Outputs, amcnet_outputs, pwcnet_outputs, raft_outputs

from amcnet.models import load_amcnet, load_pwcnet, load_raft

Checkpoints = Callable[[str], dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def original_checkpoint(shared: Callable[[str], Path]) -> Checkpoints:
    """`original_checkpoint("amcnet_state_dict")`: the keys of that file with the weights of the original outputs."""
    path = shared("reference/seeded_weights.py")
    spec = importlib.util.spec_from_file_location("seeded_weights", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    @functools.cache
    def make(name: str) -> dict[str, torch.Tensor]:
        keys = json.loads((path.parent / f"{name}.json").read_text())
        return {key: torch.from_numpy(value) for key, value in module.seeded_state_dict(keys, 1).items()}

    return make


def _differences(outputs: Outputs, originals: Outputs) -> dict[str, float]:
    assert outputs.keys() == originals.keys()
    return {name: float(np.abs(values - originals[name]).max()) for name, values in outputs.items()}


@pytest.mark.slow  # ResNet-101 at 384x384; small: test_references.py
def test_amcnet_equals_the_original(
    shared: Callable[[str], Path], original_checkpoint: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(shared("reference/amcnet_seed1.npz")) as file:
        reference = dict(file)
    del reference["seed"]
    network = load_amcnet(original_checkpoint("amcnet_state_dict"))
    outputs = amcnet_outputs(network, reference.pop("image"), reference.pop("flow_image"))
    differences = _differences(outputs, reference)
    with capsys.disabled():
        print(
            "\nAMC-Net, max |difference| from the original: "
            + ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
        )
    assert max(differences.values()) <= 2e-5


@pytest.mark.parametrize("convention", ["nvlabs", "sniklaus"])
def test_pwcnet_equals_the_original(
    convention: str,
    shared: Callable[[str], Path],
    original_checkpoint: Checkpoints,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reference = np.load(shared("reference/pwcnet_seed1.npz"))
    network = load_pwcnet(original_checkpoint(f"pwcnet_state_dict_{convention}"))
    outputs = pwcnet_outputs(network, reference["frame"], reference["next_frame"])
    differences = _differences(outputs, {"flow": reference[f"flow_{convention}"]})
    with capsys.disabled():
        print(f"\nPWC-Net ({convention}), max |difference| from the original: {differences['flow']:.1e} px")
    assert differences["flow"] <= 2e-3


@pytest.mark.parametrize("iterations", [1, 12])
def test_trained_raft_equals_the_original(
    iterations: int, shared: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    reference = np.load(shared("reference/raft_small_trained.npz"))
    network = load_raft(shared("data/weights/raft-small.pth"), iterations)
    outputs = raft_outputs(network, reference["frame"], reference["next_frame"])
    difference = _differences(outputs, {"flow": reference[f"flow_{iterations}"]})["flow"]
    with capsys.disabled():
        print(
            f"\nRAFT (small, trained), {iterations} iterations, max |difference| from the original: {difference:.1e} px"
        )
    assert difference <= 2e-3


@pytest.mark.parametrize(("size", "iterations"), [("small", 4), ("large", 1), ("large", 4)])
def test_seeded_raft_equals_the_original(
    size: str,
    iterations: int,
    shared: Callable[[str], Path],
    original_checkpoint: Checkpoints,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reference = np.load(shared(f"reference/raft_{size}_seed1.npz"))
    network = load_raft(original_checkpoint(f"raft_{size}_state_dict"), iterations)
    outputs = raft_outputs(network, reference["frame"], reference["next_frame"])
    difference = _differences(outputs, {"flow": reference[f"flow_{iterations}"]})["flow"]
    with capsys.disabled():
        print(f"\nRAFT ({size}), {iterations} iterations, max |difference| from the original: {difference:.1e} px")
    assert difference <= 1e-3
