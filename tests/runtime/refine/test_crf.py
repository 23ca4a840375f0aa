"""The dense CRF compared with exact mean-field inference in numpy."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from amcnet.runtime.errors import BackendError
from amcnet.runtime.refine.crf import refine, unary_energy

HEIGHT, WIDTH = 20, 28


def _picture_and_probability() -> tuple[np.ndarray, np.ndarray]:
    """A bright disk on dark ground, both noisy, and a blurred guess of where it is, two pixels too far to the right."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    disk = np.hypot(x - 14, y - 10) < 6
    pixels = np.clip(np.where(disk, 190, 60)[..., None] + rng.normal(0, 2, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    distance_px = 6 - np.hypot(x - 16, y - 10)
    return pixels, (1 / (1 + np.exp(-distance_px / 2))).astype(np.float32)


def _mean_field(pixels: np.ndarray, unary: np.ndarray, steps: int) -> np.ndarray:
    """The labels after `steps`, by exact sums over all pairs; the package approximates them on a lattice."""
    y, x = (grid.ravel().astype(float) for grid in np.mgrid[:HEIGHT, :WIDTH])
    position = np.stack((x, y), 1)
    color = pixels.reshape(-1, 3).astype(float)

    def kernel(features: np.ndarray) -> np.ndarray:
        near = np.exp(-0.5 * ((features[:, None] - features[None]) ** 2).sum(-1))
        scale = 1 / np.sqrt(near.sum(1) + 1e-20)
        return scale[:, None] * near * scale[None]

    pairs = 3 * kernel(position / 3) + 5 * kernel(np.hstack((position / 30, color / 5)))
    labels = np.exp(-unary) / np.exp(-unary).sum(0)
    for _ in range(steps):
        energy = unary - labels @ pairs  # Potts: agreement lowers the energy
        labels = np.exp(-energy + energy.min(0))
        labels /= labels.sum(0)
    return labels.argmax(0).reshape(HEIGHT, WIDTH).astype(bool)


def _energies(p: np.ndarray) -> np.ndarray:
    """The formula of the original, background then foreground."""

    def sigmoid(value: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-value))

    foreground = -np.log(1 - p + 1e-8) / (1.05 * sigmoid(1 - p))
    background = -np.log(p + 1e-8) / (1.05 * sigmoid(p))
    return -np.log(np.clip([background, foreground], 1e-5, 1))


def test_energies_equal_the_original_formula() -> None:
    p = np.linspace(0, 1, 101)
    energies = unary_energy(p.astype(np.float32)[None])
    np.testing.assert_allclose(energies, _energies(p.astype(np.float32).astype(float)), atol=1e-4)
    np.testing.assert_allclose(energies[:, [0, 50, 100]], [[0, 0, 11.513], [11.513, 0, 0]], atol=1e-3)


def test_labels_equal_those_of_exact_mean_field() -> None:
    pytest.importorskip("pydensecrf", reason="the extra crf is not installed")
    pixels, probability = _picture_and_probability()
    refined = refine(pixels, probability)
    exact = _mean_field(pixels, _energies(probability.ravel().astype(float)), 5)
    changed = exact != (probability >= 0.5)
    assert changed.sum() >= 10, "the frame changes the mask, or this would test nothing"
    assert (refined == exact).mean() >= 0.99
    assert (refined == exact)[changed].mean() >= 0.8


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    with pytest.raises(BackendError, match=r"pip install 'amcnet\[crf\]'"):
        refine(*_picture_and_probability())
