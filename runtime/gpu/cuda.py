"""CUDA driver API through cuda-python (`cuda.bindings`): primary context, streams and events.

    with Device() as device, device.current(), Stream() as stream:
        ...

The primary context is shared with TensorRT, ONNX Runtime and PyTorch. Streams, events and memory belong to the device
that is current in the calling thread, and must be closed while it is current. CUDA is loaded on first use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..closeable import Closeable
from ..errors import BackendError


def driver() -> Any:
    """Return `cuda.bindings.driver` with the driver initialized.

    Raises BackendError without cuda-python or without an NVIDIA driver.
    """
    try:
        from cuda.bindings import driver as module
    except ImportError as error:
        raise BackendError(
            f"cuda-python cannot be imported ({error}); expected version 12.8 or later. Fix: "
            "pip install 'cuda-python>=13' (with TensorRT 8: 'cuda-python>=12.8,<13'); amc-check lists what else is "
            "missing"
        ) from error
    try:
        (status,) = module.cuInit(0)
    except RuntimeError as error:  # no libcuda, or one too old to have the function
        raise BackendError(
            "no NVIDIA driver was found (libcuda.so.1). Fix: install the driver, or run on the CPU (amc-infer --device "
            "cpu); amc-check lists what this machine has"
        ) from error
    check((status,), "CUDA cannot be initialized")
    return module


def check(answer: tuple[Any, ...], what_failed: str) -> Any:
    """Return the values of a driver call `(status, *values)`: one value as it is, otherwise a tuple.

    what_failed: the beginning of the message of the BackendError raised for a status other than success.
    """
    status, *values = answer
    if int(status) != 0:
        raise BackendError(f"{what_failed}: CUDA error {_describe(int(status))}")
    return values[0] if len(values) == 1 else tuple(values)


def _describe(status: int) -> str:
    """Name, text and fix, as in "CUDA_ERROR_OUT_OF_MEMORY (out of memory). Fix: close other programs ..."."""
    from cuda.bindings import driver as module

    code = module.CUresult(status)
    name, text = (value.decode() if value else "" for _, value in (module.cuGetErrorName(code), _text(module, code)))
    fix = "run amc-check, which lists what this machine has"
    if code == module.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
        fix = "close other programs that use the GPU (nvidia-smi lists them)"
    return f"{name} ({text}). Fix: {fix}"


def _text(module: Any, code: Any) -> tuple[Any, bytes]:
    answer: tuple[Any, bytes] = module.cuGetErrorString(code)
    return answer


class Device(Closeable):
    """A GPU and its primary context, shared with the other libraries of the process.

    index: the GPU in the driver's order. Raises BackendError if there is none.
    """

    def __init__(self, index: int = 0) -> None:
        cuda = driver()
        self._device: Any = check(cuda.cuDeviceGet(index), f"GPU {index} does not exist")
        self._context: Any = check(cuda.cuDevicePrimaryCtxRetain(self._device), f"GPU {index} cannot be used")

    @property
    def name(self) -> str:
        """Such as "NVIDIA GeForce RTX 3060"."""
        name: bytes = check(driver().cuDeviceGetName(128, self._device), "the name of the GPU cannot be read")
        return name.split(b"\0")[0].decode()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make this the thread's current device during the block; restore the earlier context after it."""
        cuda = driver()
        if self._context is None:
            raise ValueError("the device is closed; expected use inside the `with` block that opened it")
        check(cuda.cuCtxPushCurrent(self._context), "the GPU cannot be used in this thread")
        try:
            yield
        except BaseException:
            cuda.cuCtxPopCurrent()
            raise
        check(cuda.cuCtxPopCurrent(), "the earlier GPU context of the thread cannot be restored")

    def close(self) -> None:
        if self._context is not None:
            self._context = None
            check(driver().cuDevicePrimaryCtxRelease(self._device), "the GPU cannot be released")


class Stream(Closeable):
    """A CUDA stream. `handle` is its `CUstream` as an integer, for other libraries."""

    def __init__(self) -> None:
        cuda = driver()
        # Non-blocking: no implicit synchronization with the default stream, which other libraries may use.
        flags = cuda.CUstream_flags.CU_STREAM_NON_BLOCKING
        self._stream: Any = check(cuda.cuStreamCreate(flags), "the stream cannot be created")

    @property
    def handle(self) -> int:
        return int(self._stream)

    def wait(self, event: Event) -> None:
        """Make later work in this stream wait for `event`, without blocking the caller."""
        check(driver().cuStreamWaitEvent(self._stream, event.handle, 0), "the stream cannot wait for an event")

    def synchronize(self) -> None:
        """Block until all work in the stream is done. Raises BackendError for errors of that work."""
        check(driver().cuStreamSynchronize(self._stream), "GPU work failed")

    def close(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            check(driver().cuStreamDestroy(stream), "the stream cannot be destroyed")


class Event(Closeable):
    """A CUDA event: a point in a stream to wait for or to measure time from.

    timing: allow `ms_since`; events without it are cheaper to wait for.
    """

    def __init__(self, *, timing: bool = False) -> None:
        cuda = driver()
        kinds = cuda.CUevent_flags
        flags = kinds.CU_EVENT_DEFAULT if timing else kinds.CU_EVENT_DISABLE_TIMING
        self._event: Any = check(cuda.cuEventCreate(flags), "the event cannot be created")

    @property
    def handle(self) -> int:
        return int(self._event)

    def record(self, stream: Stream) -> None:
        """Mark the end of the work enqueued in `stream` so far."""
        check(driver().cuEventRecord(self._event, stream.handle), "the event cannot be recorded")

    def synchronize(self) -> None:
        """Block until the event has been reached; return at once if it was never recorded."""
        check(driver().cuEventSynchronize(self._event), "GPU work failed")

    def ms_since(self, earlier: Event) -> float:
        """Return the time from `earlier` to this event, in ms. Both need `timing` and must have been reached."""
        return float(
            check(
                driver().cuEventElapsedTime(earlier.handle, self._event), "the time between two events cannot be read"
            )
        )

    def close(self) -> None:
        if self._event is not None:
            event, self._event = self._event, None
            check(driver().cuEventDestroy(event), "the event cannot be destroyed")


def stream_handle(stream: Any) -> int:
    """Return the `CUstream` of a stream as an integer.

    stream: an object with `.handle` (`Stream`, PyCUDA), one with `__int__` (cuda-python), or the integer itself. Raises
    BackendError for anything else.
    """
    handle = getattr(stream, "handle", stream)
    try:
        return int(handle)
    except (TypeError, ValueError):
        raise BackendError(
            f"not a CUDA stream: got {type(stream).__name__}, expected an object with a `.handle`, such as "
            "pycuda.driver.Stream(), or the handle as an integer"
        ) from None
