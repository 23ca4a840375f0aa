"""Arrays and tensors in memory shared by forked processes."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor


def shared_array(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return zeros of `shape`, shared with processes forked later. Pages use memory once they are written.

    The memory is an anonymous mapping, because containers limit /dev/shm to 64 MB.
    """
    count = math.prod(shape)
    memory = mmap.mmap(-1, max(1, count * np.dtype(dtype).itemsize))
    return np.frombuffer(memory, dtype, count).reshape(shape)


def shared_like(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return FP32 zeros in shared memory with the shapes and strides of `tensors`, which must be dense."""
    return [
        torch.from_numpy(shared_array((tensor.numel(),), np.float32)).as_strided(tensor.shape, tensor.stride())
        for tensor in tensors
    ]
