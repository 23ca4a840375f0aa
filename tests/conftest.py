"""Fixtures for all tests."""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from amcnet.engines.machine import Machine

_SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked needs_cuda where there is no GPU; the machine is asked only if there is such a test."""
    marked = [item for item in items if item.get_closest_marker("needs_cuda")]
    if marked and not Machine.here().has_gpu:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU or no driver: make gpu-check on a machine with one"))


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """`shared("data/videos")` is that part of the shared test data; the test is skipped where it is absent."""

    def find(relative: str) -> Path:
        path = _SHARED / relative
        if not path.exists():
            pytest.skip(f"the shared test data has no {relative} here")
        return path

    return find


@pytest.fixture(scope="session")
def seeded_checkpoint(shared: Callable[[str], Path]) -> Callable[[str], dict[str, torch.Tensor]]:
    """`seeded_checkpoint("amcnet_state_dict")` has the keys of that file and the weights of the reference outputs."""
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
