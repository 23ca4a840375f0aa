"""Arrays and tensors in memory that forked processes share."""

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
    """Zeros of `shape`, shared with the processes that are forked later; pages take memory once they are written.

    An anonymous mapping rather than a file in /dev/shm, which containers limit to 64 MB.
    """
    count = math.prod(shape)
    memory = mmap.mmap(-1, max(1, count * np.dtype(dtype).itemsize))
    return np.frombuffer(memory, dtype, count).reshape(shape)


def shared_like(tensors: Iterable[Tensor]) -> list[Tensor]:
    """float32 zeros with the shapes and strides of `tensors`, which must be dense, in shared memory."""
    return [
        torch.from_numpy(shared_array((tensor.numel(),), np.float32)).as_strided(tensor.shape, tensor.stride())
        for tensor in tensors
    ]
