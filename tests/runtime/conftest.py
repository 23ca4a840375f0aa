"""Fixtures for the runtime's tests: clips made by program (see `clips.py`)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray


def _load_clips() -> ModuleType:
    # By path: tests are no package, and `--import-mode=importlib` puts nothing on sys.path.
    spec = importlib.util.spec_from_file_location("amcnet_test_clips", Path(__file__).with_name("clips.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_CLIPS = _load_clips()


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
