"""Correlation and warp compared with loops in NumPy."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amcnet.models.correlation import correlation
from amcnet.models.warp import warp


def correlation_by_loops(first: np.ndarray, second: np.ndarray, d: int = 4) -> np.ndarray:
    """(C, H, W) twice -> ((2d+1)², H, W), by the definition."""
    channels, height, width = first.shape
    out = np.zeros(((2 * d + 1) ** 2, height, width))
    for k in range(len(out)):
        dy, dx = k // (2 * d + 1) - d, k % (2 * d + 1) - d
        for y in range(height):
            for x in range(width):
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    out[k, y, x] = first[:, y, x] @ second[:, y + dy, x + dx] / channels
    return out


def warp_by_loops(features: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """(C, H, W) by (2, H, W) -> (C, H, W), by the definition."""
    _, height, width = features.shape
    out = np.zeros_like(features)
    for y in range(height):
        for x in range(width):
            to_x, to_y = x + flow[0, y, x], y + flow[1, y, x]
            total = 0.0
            for row in (math.floor(to_y), math.floor(to_y) + 1):
                for column in (math.floor(to_x), math.floor(to_x) + 1):
                    if 0 <= row < height and 0 <= column < width:
                        weight = (1 - abs(to_x - column)) * (1 - abs(to_y - row))
                        total += weight
                        out[:, y, x] += weight * features[:, row, column]
            if total <= 0.999:
                out[:, y, x] = 0
    return out


sizes = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9))


@settings(max_examples=30)
@given(sizes, st.integers(0, 2**32 - 1))
def test_correlation(size: tuple[int, int, int], seed: int) -> None:
    first, second = np.random.default_rng(seed).standard_normal((2, *size)).astype(np.float32)
    result = correlation(torch.from_numpy(first)[None], torch.from_numpy(second)[None])[0].numpy()
    np.testing.assert_allclose(result, correlation_by_loops(first, second), atol=1e-5)


@settings(max_examples=30)
@given(sizes, st.sampled_from([0.0, 0.3, 3.0, 30.0]), st.integers(0, 2**32 - 1))
def test_warp(size: tuple[int, int, int], motion_px: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal(size).astype(np.float32)
    flow = (motion_px * rng.standard_normal((2, *size[1:]))).astype(np.float32)
    result = warp(torch.from_numpy(features)[None], torch.from_numpy(flow)[None])[0].numpy()
    np.testing.assert_allclose(result, warp_by_loops(features, flow), atol=1e-4)


def test_warp_by_whole_pixels_shifts_the_features() -> None:
    features = np.arange(20, dtype=np.float32).reshape(1, 4, 5)
    flow = np.stack((np.full((4, 5), 2.0), np.full((4, 5), 1.0))).astype(np.float32)
    result = warp(torch.from_numpy(features)[None], torch.from_numpy(flow)[None])[0, 0].numpy()
    expected = np.zeros((4, 5), np.float32)
    expected[:3, :3] = features[0, 1:, 2:]
    np.testing.assert_allclose(result, expected, atol=1e-5)
