"""Correlations, lookup, upsampling and warp compared with loops in NumPy."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amcnet.models.correlation import correlation
from amcnet.models.correlation_volume import correlation_volumes, lookup
from amcnet.models.raft import convex_upsample
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
def test_correlation_equals_a_loop(size: tuple[int, int, int], seed: int) -> None:
    first, second = np.random.default_rng(seed).standard_normal((2, *size)).astype(np.float32)
    result = correlation(torch.from_numpy(first)[None], torch.from_numpy(second)[None])[0].numpy()
    np.testing.assert_allclose(result, correlation_by_loops(first, second), atol=1e-5)


@settings(max_examples=30)
@given(sizes, st.sampled_from([0.0, 0.3, 3.0, 30.0]), st.integers(0, 2**32 - 1))
def test_warp_equals_a_loop(size: tuple[int, int, int], motion_px: float, seed: int) -> None:
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


def volumes_by_loops(first: np.ndarray, second: np.ndarray) -> list[np.ndarray]:
    """(C, H, W) twice -> four (HW, h, w), by the definition."""
    channels, height, width = first.shape
    rows = first.reshape(channels, -1).T.astype(np.float64)
    volumes = []
    for level in range(4):
        side = 2**level
        high, wide = height // side, width // side
        pooled = second[:, : high * side, : wide * side].reshape(channels, high, side, wide, side).mean((2, 4))
        volumes.append((rows @ pooled.reshape(channels, -1) / math.sqrt(channels)).reshape(-1, high, wide))
    return volumes


def lookup_by_loops(volumes: list[np.ndarray], coordinates: np.ndarray, radius: int) -> np.ndarray:
    """Four (HW, h, w), (2, H, W) -> (4 (2 radius + 1)², H, W), by the definition."""
    _, height, width = coordinates.shape
    window = range(-radius, radius + 1)
    out = np.zeros((4 * len(window) ** 2, height, width))
    for y in range(height):
        for x in range(width):
            channel = 0
            for level, volume in enumerate(volumes):
                framed = np.pad(volume[y * width + x], 1)  # zeros outside
                for dx in window:
                    for dy in window:
                        to_x, to_y = coordinates[:, y, x] / 2**level + (dx, dy)
                        for row in (math.floor(to_y), math.floor(to_y) + 1):
                            for column in (math.floor(to_x), math.floor(to_x) + 1):
                                if 0 <= row < volume.shape[1] and 0 <= column < volume.shape[2]:
                                    weight = (1 - abs(to_x - column)) * (1 - abs(to_y - row))
                                    out[channel, y, x] += weight * framed[row + 1, column + 1]
                        channel += 1
    return out


@settings(max_examples=8)
@given(
    st.tuples(st.integers(1, 6), st.integers(8, 18), st.integers(8, 18)),
    st.integers(1, 2),
    st.sampled_from([0.0, 0.4, 4.0, 40.0]),
    st.integers(0, 2**32 - 1),
)
def test_correlation_volumes_and_lookup_equal_loops(
    size: tuple[int, int, int], radius: int, motion_px: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.standard_normal((2, *size)).astype(np.float32)
    grid = np.stack(np.meshgrid(np.arange(size[2]), np.arange(size[1])))
    coordinates = (grid + motion_px * rng.standard_normal(grid.shape)).astype(np.float32)
    volumes = correlation_volumes(torch.from_numpy(first)[None], torch.from_numpy(second)[None])
    expected = volumes_by_loops(first, second)
    for volume, by_loops in zip(volumes, expected, strict=True):
        np.testing.assert_allclose(volume[:, 0].numpy(), by_loops, atol=1e-5)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    result = lookup(volumes, torch.from_numpy(coordinates)[None], offsets)[0].numpy()
    np.testing.assert_allclose(result, lookup_by_loops(expected, coordinates, radius), atol=2e-4)


def test_convex_upsampling_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    flow, logits = rng.standard_normal((2, 3, 4)), rng.standard_normal((576, 3, 4))
    result = convex_upsample(torch.from_numpy(flow)[None], torch.from_numpy(logits)[None])[0].numpy()
    weights = np.exp(logits).reshape(9, 8, 8, 3, 4)
    weights /= weights.sum(0)
    framed = np.pad(8 * flow, ((0, 0), (1, 1), (1, 1)))
    expected = np.zeros((2, 24, 32))
    for y in range(24):
        for x in range(32):
            around = framed[:, y // 8 : y // 8 + 3, x // 8 : x // 8 + 3].reshape(2, 9)
            expected[:, y, x] = around @ weights[:, y % 8, x % 8, y // 8, x // 8]
    np.testing.assert_allclose(result, expected, atol=1e-12)
