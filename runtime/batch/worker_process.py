"""The parent's side of a worker: its process, its connection and the video in hand."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from ..infer import InferOptions
from .todo import Task
from .worker import Segment, run_worker

_END_SECONDS = 10.0  # for libraries to end their threads


class WorkerProcess:
    """A started process. `loaded` is set when its network is, `task` while it segments that video.

    `slot` is its place among the processes, `cores` are the processors that belong to the place.
    """

    def __init__(self, options: InferOptions, slot: int, cores: Sequence[int], segment: Segment) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the locks of the libraries' threads
        self.connection: Connection[Any, Any]
        self.connection, theirs = context.Pipe()
        self.slot = slot
        self.loaded = False
        self.task: Task | None = None
        self.frames = 0  # of the task, so far
        self._started_seconds = 0.0
        self._scratch = tempfile.TemporaryDirectory(prefix="amc-batch-")  # removed here: the process may be killed
        self._process = context.Process(
            target=run_worker,
            args=(theirs, options, cores, self._scratch.name, segment),
            name="amcnet worker",
            daemon=True,
        )
        self._process.start()
        theirs.close()  # else the end of the process would not be noticed here

    def begin(self, task: Task, options: InferOptions) -> None:
        """Send a video. If the process has ended, that shows as EOFError at the next `recv`."""
        self.task, self.frames, self._started_seconds = task, 0, time.monotonic()
        with suppress(OSError):
            self.connection.send(options)

    def recv(self) -> Any:
        """The next message. Raises EOFError if the process has ended."""
        try:
            return self.connection.recv()
        except OSError as error:
            raise EOFError from error

    @property
    def busy_seconds(self) -> float:
        """How long the video has been in hand."""
        return time.monotonic() - self._started_seconds if self.task else 0.0

    def stop(self) -> None:
        """Ask the process to leave its video after the frame in hand, or to end if it has none."""
        with suppress(OSError):
            self.connection.send(None)

    def ended(self) -> str:
        """Wait for a process that ends by itself; return how, for a message."""
        self._process.join(_END_SECONDS)
        return self.kill()

    def kill(self) -> str:
        """End the process at once, if it has not ended; return how it ended, for a message."""
        self.connection.close()
        self._process.kill()
        self._process.join()
        self._scratch.cleanup()
        code = self._process.exitcode or 0
        self._process.close()
        if code >= 0:
            return f"exit status {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
