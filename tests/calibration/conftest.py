"""Fixtures for the calibration's tests: small real networks with seeded weights, and what to feed them with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.export import Seed, export_amcnet, export_pwcnet
from amcnet.models import AMCNetConfig

Feeds = list[dict[str, NDArray[Any]]]


@pytest.fixture(scope="session")
def light_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An AMC-Net with MobileNetV2, at 64x64, with weights in 32 bits."""
    folder = tmp_path_factory.mktemp("light")
    config = AMCNetConfig(backbone="mobilenet_v2")
    return export_amcnet(Seed(number=1), folder, config=config, size=(64, 64)).file.path


@pytest.fixture(scope="session")
def pwcnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PWC-Net at 64x64."""
    return export_pwcnet(Seed(number=1), tmp_path_factory.mktemp("pwc"), size=(64, 64)).file.path


@pytest.fixture(scope="session")
def make_feeds() -> Callable[..., Feeds]:
    """`make_feeds(names, count, size)`: coarse noise, so that neighbouring pixels are alike as in pictures."""

    def make(names: tuple[str, ...], count: int = 4, size: int = 64, seed: int = 0) -> Feeds:
        rng = np.random.default_rng(seed)

        def picture() -> NDArray[np.float32]:
            coarse = rng.standard_normal((1, 3, size // 8, size // 8)).astype(np.float32)
            return np.kron(coarse, np.ones((1, 1, 8, 8), np.float32))

        return [{name: picture() for name in names} for _ in range(count)]

    return make
