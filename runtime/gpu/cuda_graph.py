"""CUDA graphs: GPU work captured once and launched by one call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..closeable import Closeable
from ..errors import BackendError
from .cuda import Stream, check, driver


class Graph(Closeable):
    """The work that `work()` enqueues in `stream`, launched by one call instead of one per kernel.

    The work is captured, not executed. `work` must have run once before, and must not wait for the GPU. Raises
    BackendError if a part of it cannot be captured.
    """

    def __init__(self, stream: Stream, work: Callable[[], None]) -> None:
        cuda = driver()
        # Thread-local: a memory allocation in another thread would invalidate a global capture.
        mode = cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        check(cuda.cuStreamBeginCapture(stream.handle, mode), "the GPU work cannot be captured")
        try:
            work()
        except BaseException:
            with suppress(BackendError):  # end the capture; `work` has raised the cause already
                check(cuda.cuGraphDestroy(check(cuda.cuStreamEndCapture(stream.handle), "")), "")
            raise
        captured = check(cuda.cuStreamEndCapture(stream.handle), "the GPU work cannot be captured")
        try:
            self._graph: Any = check(cuda.cuGraphInstantiate(captured, 0), "the CUDA graph cannot be instantiated")
        finally:
            check(cuda.cuGraphDestroy(captured), "the captured CUDA graph cannot be destroyed")

    def launch(self, stream: Stream) -> None:
        """Enqueue the work in `stream`."""
        check(driver().cuGraphLaunch(self._graph, stream.handle), "the CUDA graph cannot be launched")

    def close(self) -> None:
        """Destroy the graph. The GPU must have finished its launches."""
        if self._graph is not None:
            graph, self._graph = self._graph, None
            check(driver().cuGraphExecDestroy(graph), "the CUDA graph cannot be destroyed")
