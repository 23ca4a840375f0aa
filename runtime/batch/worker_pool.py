"""The scheduler's view of workers, wherever they run: on this machine or on a Ray cluster."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from ..infer import InferOptions
from .todo import Task


class Worker(ABC):
    """A process that loads the network, then segments one video after the other.

    `slot` is its place among the workers. `loaded` is set when its network is, `task` while it segments that video,
    `frames` are those of the task so far.
    """

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.loaded = False
        self.task: Task | None = None
        self.frames = 0
        self._started_seconds = 0.0

    @property
    def busy_seconds(self) -> float:
        """How long the video has been in hand."""
        return time.monotonic() - self._started_seconds if self.task else 0.0

    def begin(self, task: Task, options: InferOptions) -> None:
        """Send a video. If the process has ended, that shows as EOFError at the next `recv`."""
        self.task, self.frames, self._started_seconds = task, 0, time.monotonic()
        self._send(options)

    @abstractmethod
    def _send(self, options: InferOptions) -> None: ...

    @abstractmethod
    def recv(self) -> Any:
        """The next message of `worker.py`. Raises EOFError if the process has ended."""

    @abstractmethod
    def stop(self) -> None:
        """Ask the process to leave its video after the frame in hand, or to end if it has none."""

    @abstractmethod
    def ended(self) -> str:
        """Wait for a process that ends by itself; return how, for a message."""

    @abstractmethod
    def kill(self) -> str:
        """End the process at once, if it has not ended; return how it ended, for a message."""


Kind = TypeVar("Kind", bound=Worker)


class WorkerPool(ABC, Generic[Kind]):
    """Starts workers, `count` of them at most, and waits for their messages."""

    count: int

    @abstractmethod
    def start(self, slot: int) -> Kind:
        """A worker for a slot, from 0 to `count` - 1, that no other has."""

    @abstractmethod
    def wait(self, workers: Sequence[Kind], seconds: float) -> list[Kind]:
        """Those of `workers` that have a message or have ended, as soon as there is one, at most after `seconds`."""
