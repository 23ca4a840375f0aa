"""The GPU through NVIDIA's driver: its primary context, streams and events, over cuda-python (`cuda.bindings`).

    with Device() as device, device.current(), Stream() as stream:
        ...

The primary context is the one that TensorRT, ONNX Runtime and PyTorch use too. What is made here works on the device
that is current in the calling thread, and must be closed while it is. Nothing of CUDA is loaded before the first use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..closeable import Closeable
from ..errors import BackendError


def driver() -> Any:
    """cuda-python's driver module, with the driver started. Raises BackendError without either."""
    try:
        from cuda.bindings import driver as module
    except ImportError as error:
        raise BackendError(
            f"cuda-python cannot be imported ({error}); expected version 13 or later: pip install 'cuda-python>=13'; "
            "amc-check says what else is missing"
        ) from error
    try:
        (status,) = module.cuInit(0)
    except RuntimeError as error:  # there is no libcuda, or one too old to have the function
        raise BackendError(
            "no NVIDIA driver was found (libcuda.so.1), and a GPU needs one; install it, or run without: "
            "amc-infer --device cpu; amc-check says what this machine has"
        ) from error
    check((status,), "the GPU cannot be used")
    return module


def check(answer: tuple[Any, ...], what_failed: str) -> Any:
    """What a driver call returns behind its status: nothing, a value, or a tuple. Raises BackendError if it failed."""
    status, *values = answer
    if int(status) != 0:
        raise BackendError(f"{what_failed}: CUDA says {_said(int(status))}")
    return values[0] if len(values) == 1 else tuple(values)


def _said(status: int) -> str:
    """Such as "CUDA_ERROR_OUT_OF_MEMORY (out of memory); close other programs that use the GPU: nvidia-smi"."""
    from cuda.bindings import driver as module

    code = module.CUresult(status)
    name, text = (value.decode() if value else "" for _, value in (module.cuGetErrorName(code), _text(module, code)))
    advice = "amc-check says what this machine has"
    if code == module.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
        advice = "close other programs that use the GPU (nvidia-smi lists them)"
    return f"{name} ({text}); {advice}"


def _text(module: Any, code: Any) -> tuple[Any, bytes]:
    answer: tuple[Any, bytes] = module.cuGetErrorString(code)
    return answer


class Device(Closeable):
    """A GPU and its primary context, which is shared with the other libraries of the process."""

    def __init__(self, index: int = 0) -> None:
        """The GPU of this index, in the driver's order. Raises BackendError."""
        cuda = driver()
        self._device: Any = check(cuda.cuDeviceGet(index), f"there is no GPU {index}")
        self._context: Any = check(cuda.cuDevicePrimaryCtxRetain(self._device), f"GPU {index} cannot be used")

    @property
    def name(self) -> str:
        """Such as "NVIDIA GeForce RTX 3060"."""
        name: bytes = check(driver().cuDeviceGetName(128, self._device), "the GPU does not say its name")
        return name.split(b"\0")[0].decode()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make this the thread's device for the block; a context that was current before is so again after it."""
        cuda = driver()
        if self._context is None:
            raise ValueError("the device is closed; use it inside the `with` block that opened it")
        check(cuda.cuCtxPushCurrent(self._context), "the GPU cannot be used in this thread")
        try:
            yield
        except BaseException:
            cuda.cuCtxPopCurrent()
            raise
        check(cuda.cuCtxPopCurrent(), "the thread's own GPU context cannot be restored")

    def close(self) -> None:
        if self._context is not None:
            self._context = None
            check(driver().cuDevicePrimaryCtxRelease(self._device), "the GPU cannot be released")


class Stream(Closeable):
    """Work for the GPU that is done in its order; `handle` is what other libraries know it by."""

    def __init__(self) -> None:
        cuda = driver()
        # Non-blocking: the default stream, which other libraries may use, and this one do not wait for each other.
        flags = cuda.CUstream_flags.CU_STREAM_NON_BLOCKING
        self._stream: Any = check(cuda.cuStreamCreate(flags), "no stream can be made")

    @property
    def handle(self) -> int:
        return int(self._stream)

    def wait(self, event: Event) -> None:
        """What comes later in this stream waits for `event`; the caller does not."""
        check(driver().cuStreamWaitEvent(self._stream, event.handle, 0), "the stream cannot wait for another")

    def synchronize(self) -> None:
        """Wait until all is done. Errors of the work itself come out here, as BackendError."""
        check(driver().cuStreamSynchronize(self._stream), "the GPU's work failed")

    def close(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            check(driver().cuStreamDestroy(stream), "the stream cannot be closed")


class Event(Closeable):
    """A point in a stream, to wait for and to measure from."""

    def __init__(self, *, timing: bool = False) -> None:
        """Only an event with `timing` can be measured from; those without are cheaper to wait for."""
        cuda = driver()
        kinds = cuda.CUevent_flags
        flags = kinds.CU_EVENT_DEFAULT if timing else kinds.CU_EVENT_DISABLE_TIMING
        self._event: Any = check(cuda.cuEventCreate(flags), "no event can be made")

    @property
    def handle(self) -> int:
        return int(self._event)

    def record(self, stream: Stream) -> None:
        """Stand behind what `stream` has been given so far."""
        check(driver().cuEventRecord(self._event, stream.handle), "the event cannot be recorded")

    def synchronize(self) -> None:
        """Wait until the stream is past it; at once for an event that was never recorded."""
        check(driver().cuEventSynchronize(self._event), "the GPU's work failed")

    def ms_since(self, earlier: Event) -> float:
        """The time between two events that the GPU has passed, in ms."""
        return float(check(driver().cuEventElapsedTime(earlier.handle, self._event), "the GPU's time cannot be read"))

    def close(self) -> None:
        if self._event is not None:
            event, self._event = self._event, None
            check(driver().cuEventDestroy(event), "the event cannot be closed")


def stream_handle(stream: Any) -> int:
    """The driver's handle of a stream of ours, of PyCUDA or CuPy-like (`.handle`), or of cuda-python (`__int__`)."""
    handle = getattr(stream, "handle", stream)
    try:
        return int(handle)
    except (TypeError, ValueError):
        raise BackendError(
            f"{type(stream).__name__} is no CUDA stream; expected an object with a `.handle`, such as "
            "pycuda.driver.Stream(), or its number"
        ) from None
