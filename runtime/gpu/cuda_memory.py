"""Memory of the GPU and what it is filled from: buffers that are owned, and memory that the caller owns."""

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
    """An array that lives twice: `host`, in page-locked memory, and at `address` on the GPU.

    Only from and to page-locked memory do copies run beside computing and can be part of a graph.
    """

    def __init__(self, shape: Shape, dtype: Any) -> None:
        """Raises BackendError, out of memory most likely."""
        cuda = driver()
        self._bytes = prod(shape) * np.dtype(dtype).itemsize
        size = max(self._bytes, 1)  # the driver has no memory of no bytes
        self._pinned: Any = check(cuda.cuMemHostAlloc(size, 0), f"{size} bytes of page-locked memory are not there")
        try:
            self._device: Any = check(cuda.cuMemAlloc(size), f"{size} bytes of the GPU's memory are not there")
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
        """Copy `host` to the GPU, in the stream's turn: leave `host` alone until then."""
        answer = driver().cuMemcpyHtoDAsync(self._device, int(self._pinned), self._bytes, stream.handle)
        check(answer, "nothing can be copied to the GPU")

    def download(self, stream: Stream) -> None:
        """Copy the GPU's side to `host`, in the stream's turn."""
        answer = driver().cuMemcpyDtoHAsync(int(self._pinned), self._device, self._bytes, stream.handle)
        check(answer, "nothing can be copied from the GPU")

    def close(self) -> None:
        """Arrays made of `host` must not be used any more."""
        if self._pinned is not None:
            pinned, self._pinned = self._pinned, None
            device, self._device = self._device, None
            check(driver().cuMemFree(device), "the GPU's memory cannot be freed")
            check(driver().cuMemFreeHost(pinned), "page-locked memory cannot be freed")


@dataclass(frozen=True, kw_only=True)
class DeviceMemory:
    """Memory on the GPU that is the caller's own. `shape` and `dtype` are None where it does not say."""

    address: int
    shape: Shape | None = None
    dtype: np.dtype[Any] | None = None

    @classmethod
    def of(cls, memory: Any) -> DeviceMemory:
        """Anything with `__cuda_array_interface__` (PyCUDA's, CuPy's and PyTorch's arrays) or `__int__` (allocations).

        Raises BackendError for anything else, and for arrays that are not contiguous.
        """
        interface = getattr(memory, "__cuda_array_interface__", None)
        if interface is not None:
            shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
            strides = interface.get("strides")
            if strides is not None and tuple(strides) != _contiguous(shape, dtype.itemsize):
                raise BackendError(
                    f"the array {shape} on the GPU has strides {tuple(strides)}; expected a contiguous one, "
                    f"{_contiguous(shape, dtype.itemsize)}: copy it first"
                )
            return cls(address=int(interface["data"][0]), shape=shape, dtype=dtype)
        # int() of a NumPy array of one item is its value: no address.
        if hasattr(memory, "__int__") and not hasattr(memory, "__array_interface__") and not isinstance(memory, float):
            return cls(address=int(memory))
        raise BackendError(
            f"{type(memory).__name__} is no memory of the GPU; expected an array with __cuda_array_interface__, such "
            "as a pycuda.gpuarray.GPUArray, or an allocation that int() turns into its address"
        )


def _contiguous(shape: Shape, itemsize: int) -> Shape:
    return tuple(itemsize * prod(shape[axis + 1 :]) for axis in range(len(shape)))
