"""Fixtures of the training tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest


def _write_sequence(root: Path, name: str, frames: int, suffix: str = ".jpg", middle: str = "") -> None:
    """A textured square moving 4 px to the right per frame, in front of a static background."""
    rng = np.random.default_rng(0)
    background = cv2.GaussianBlur(rng.integers(0, 256, (96, 160, 3), np.uint8), (0, 0), 2) // 2
    texture = cv2.GaussianBlur(rng.integers(0, 256, (40, 40, 3), np.uint8), (0, 0), 1.5)
    for kind in ("JPEGImages", "Annotations"):
        (root / kind / middle / name).mkdir(parents=True)
    for index in range(frames):
        image, mask = background.copy(), np.zeros((96, 160), np.uint8)
        left = 20 + 4 * index
        image[30:70, left : left + 40], mask[30:70, left : left + 40] = texture, 255
        cv2.imwrite(str(root / "JPEGImages" / middle / name / f"{index:05d}{suffix}"), image)
        cv2.imwrite(str(root / "Annotations" / middle / name / f"{index:05d}.png"), mask)


@pytest.fixture
def write_sequence() -> Callable[..., None]:
    """`write_sequence(root, name, frames, suffix=".jpg", middle="")` adds a sequence to a folder in DAVIS's layout."""
    return _write_sequence
