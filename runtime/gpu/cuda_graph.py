"""Work for the GPU that is recorded once and launched as a whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..closeable import Closeable
from ..errors import BackendError
from .cuda import Stream, check, driver


class Graph(Closeable):
    """What `work` gives `stream`: launched by one call instead of one for each of its hundreds of kernels."""

    def __init__(self, stream: Stream, work: Callable[[], None]) -> None:
        """Record `work`, which is not done by this. It must have run once before, and must not wait for the GPU.

        Raises BackendError where something in it cannot be recorded.
        """
        cuda = driver()
        # Of this thread only: memory that another one asks for meanwhile would break the recording.
        mode = cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        check(cuda.cuStreamBeginCapture(stream.handle, mode), "the GPU's work cannot be recorded")
        try:
            work()
        except BaseException:
            with suppress(BackendError):  # the stream is to be usable again; why it is not recorded is known
                check(cuda.cuGraphDestroy(check(cuda.cuStreamEndCapture(stream.handle), "")), "")
            raise
        recorded = check(cuda.cuStreamEndCapture(stream.handle), "the GPU's work cannot be recorded")
        try:
            self._graph: Any = check(cuda.cuGraphInstantiate(recorded, 0), "the recorded work cannot be made ready")
        finally:
            check(cuda.cuGraphDestroy(recorded), "the record cannot be thrown away")

    def launch(self, stream: Stream) -> None:
        """Do it all, in the stream's turn."""
        check(driver().cuGraphLaunch(self._graph, stream.handle), "the recorded work cannot be started")

    def close(self) -> None:
        """Not before the GPU is done with it."""
        if self._graph is not None:
            graph, self._graph = self._graph, None
            check(driver().cuGraphExecDestroy(graph), "the recorded work cannot be thrown away")
