"""Fixtures for the runtime's tests: clips and tiny networks made by program (see `clips.py`, `networks.py`)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray


def _load(name: str) -> ModuleType:
    # By path: tests are no package, and `--import-mode=importlib` puts nothing on sys.path.
    spec = importlib.util.spec_from_file_location(f"amcnet_test_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_CLIPS = _load("clips")


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """`make_clip(path, *, frames, size, rate, pts, rotation, audio, codec, moving) -> path`, as in `clips.py`."""
    make: Callable[..., Path] = _CLIPS.make_clip
    return make


@pytest.fixture(scope="session")
def clip_picture() -> Callable[..., NDArray[np.uint8]]:
    """`clip_picture(index, size, *, moving) -> (H, W, 3) uint8 RGB`: what such a clip shows, upright."""
    picture: Callable[..., NDArray[np.uint8]] = _CLIPS.clip_picture
    return picture


@pytest.fixture(scope="session")
def networks() -> ModuleType:
    """`networks.make_amcnet(path, …)`, `networks.make_pwcnet(path, …)`, `networks.expected_mask(image, flow_image)`."""
    return _load("networks")


@pytest.fixture(scope="session")
def amcnet_onnx(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny AMC-Net whose masks `networks.expected_mask` gives."""
    path: Path = networks.make_amcnet(tmp_path_factory.mktemp("networks") / "amcnet.onnx")
    return path


@pytest.fixture(scope="session")
def pwcnet_onnx(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny PWC-Net at 128x64."""
    path: Path = networks.make_pwcnet(tmp_path_factory.mktemp("networks") / "pwcnet.onnx")
    return path
