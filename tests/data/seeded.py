"""Weights and images drawn from a seed and a name, alike on every machine.

They come from the raw output of PCG64, a stream that numpy keeps from version to version; the distributions of
`numpy.random.Generator` and of torch may change.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def uniform(name: str, shape: tuple[int, ...], low: float, high: float, seed: int = 1) -> NDArray[np.float32]:
    """Numbers in [`low`, `high`) of `shape`, the same for the same name and seed."""
    raw = np.random.PCG64([seed, zlib.crc32(name.encode())]).random_raw(int(np.prod(shape)))
    unit = (raw >> np.uint64(40)).astype(np.float32) / np.float32(2**24)  # 24 bits: exact in float32
    return (np.float32(low) + np.float32(high - low) * unit).reshape(shape)


def state_dict(entries: Iterable[tuple[str, tuple[int, ...]]], seed: int = 1) -> dict[str, NDArray[np.generic]]:
    """A tensor for each (key, shape) of a network's state dict, scaled so that activations keep their range."""
    return {key: _tensor(key, shape, seed) for key, shape in entries}


def _tensor(key: str, shape: tuple[int, ...], seed: int) -> NDArray[np.generic]:
    kind = key.rsplit(".", 1)[-1]
    if kind == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if shape == (1,) and kind == "weight":  # the slope of a PReLU
        return np.full(shape, 0.25, np.float32)
    if len(shape) > 1:
        spread = np.sqrt(6 / np.prod(shape[1:]))  # variance 2 / fan-in
        return uniform(key, shape, -spread, spread, seed) * np.float32(0.1 if shape[0] == 2 else 1)
    low, high = {"running_mean": (-0.2, 0.2), "running_var": (0.5, 1.5), "bias": (-0.1, 0.1), "weight": (0.5, 1)}[kind]
    if key.endswith("bn3.weight"):  # the last norm of a residual branch: 33 branches are added up
        low, high = 0.1, 0.3
    return uniform(key, shape, low, high, seed)


def image(name: str, size: tuple[int, int], seed: int = 1) -> NDArray[np.uint8]:
    """An image (H, W, 3) for `size` (W, H), multiples of 8: coarse and fine texture."""
    width, height = size
    coarse = uniform(f"{name}, coarse", (height // 8, width // 8, 3), 0, 200, seed)
    fine = uniform(f"{name}, fine", (height, width, 3), 0, 55, seed)
    return (coarse.repeat(8, 0).repeat(8, 1) + fine).astype(np.uint8)


def image_pair(name: str, size: tuple[int, int], shift: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two images (H, W, 3) uint8 of one texture, which moves by `shift` (x, y) pixels, at most 8 each way."""
    width, height = size
    texture = image(name, (width + 16, height + 16))
    x, y = 8 - shift[0], 8 - shift[1]
    return texture[8 : 8 + height, 8 : 8 + width], texture[y : y + height, x : x + width]
