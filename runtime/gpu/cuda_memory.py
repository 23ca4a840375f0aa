"""GPU memory: buffers with a page-locked host copy, and device memory owned by the caller."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..closeable import Closeable
from ..errors import BackendError
from .cuda import Stream, check, driver

Shape = tuple[int, ...]


class PinnedBuffer(Closeable):
    """An array in page-locked host memory (`host`) and in device memory (at `address`).

    Copies overlap with computation, and can be part of a CUDA graph, only from and to page-locked memory.
    shape, dtype: of the NumPy array `host`, which is filled with zeros. Raises BackendError when out of memory.
    """

    def __init__(self, shape: Shape, dtype: Any) -> None:
        cuda = driver()
        self._bytes = prod(shape) * np.dtype(dtype).itemsize
        size = max(self._bytes, 1)  # the driver does not allocate 0 bytes
        self._pinned: Any = check(cuda.cuMemHostAlloc(size, 0), f"{size} bytes of host memory cannot be allocated")
        try:
            self._device: Any = check(cuda.cuMemAlloc(size), f"{size} bytes of GPU memory cannot be allocated")
        except BackendError:
            check(cuda.cuMemFreeHost(self._pinned), "page-locked memory cannot be freed")
            raise
        memory = (ctypes.c_uint8 * size).from_address(int(self._pinned))
        self.host: NDArray[Any] = np.frombuffer(memory, dtype, prod(shape)).reshape(shape)
        self.host[...] = 0

    @property
    def address(self) -> int:
        return int(self._device)

    def upload(self, stream: Stream) -> None:
        """Enqueue a copy of `host` to the GPU in `stream`. Do not change `host` until it is done."""
        answer = driver().cuMemcpyHtoDAsync(self._device, int(self._pinned), self._bytes, stream.handle)
        check(answer, "the copy to the GPU failed")

    def download(self, stream: Stream) -> None:
        """Enqueue a copy of the device memory to `host` in `stream`."""
        answer = driver().cuMemcpyDtoHAsync(int(self._pinned), self._device, self._bytes, stream.handle)
        check(answer, "the copy from the GPU failed")

    def close(self) -> None:
        """Free both. Views of `host` must not be used afterwards."""
        if self._pinned is not None:
            pinned, self._pinned = self._pinned, None
            device, self._device = self._device, None
            check(driver().cuMemFree(device), "GPU memory cannot be freed")
            check(driver().cuMemFreeHost(pinned), "page-locked memory cannot be freed")


@dataclass(frozen=True, kw_only=True)
class DeviceMemory:
    """Device memory owned by the caller. `shape` and `dtype` are None for a bare address."""

    address: int
    shape: Shape | None = None
    dtype: np.dtype[Any] | None = None

    @classmethod
    def of(cls, memory: Any) -> DeviceMemory:
        """Wrap a device array or allocation.

        memory: an array with `__cuda_array_interface__` (PyCUDA, CuPy, PyTorch), or an allocation with `__int__`.
        Raises BackendError for anything else, and for arrays that are not contiguous.
        """
        interface = getattr(memory, "__cuda_array_interface__", None)
        if interface is not None:
            shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
            strides = interface.get("strides")
            if strides is not None and tuple(strides) != _contiguous(shape, dtype.itemsize):
                raise BackendError(
                    f"the GPU array of shape {shape} is not contiguous: got strides {tuple(strides)}, expected "
                    f"{_contiguous(shape, dtype.itemsize)}. Fix: copy it to a contiguous array"
                )
            return cls(address=int(interface["data"][0]), shape=shape, dtype=dtype)
        # int() of a NumPy array with one element is its value, not an address.
        if hasattr(memory, "__int__") and not hasattr(memory, "__array_interface__") and not isinstance(memory, float):
            return cls(address=int(memory))
        raise BackendError(
            f"not GPU memory: got {type(memory).__name__}, expected an array with __cuda_array_interface__, such as a "
            "pycuda.gpuarray.GPUArray, or an allocation whose int() is its address"
        )


def _contiguous(shape: Shape, itemsize: int) -> Shape:
    return tuple(itemsize * prod(shape[axis + 1 :]) for axis in range(len(shape)))
