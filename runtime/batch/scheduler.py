"""Hand videos to worker processes, and replace the processes that crash or hang."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..errors import BackendError
from ..infer import InferOptions
from .todo import Task
from .worker import CannotLoad, Failed, Finished, Frames, Loaded, Lost, Stopped, Waiting
from .worker_pool import Worker, WorkerPool

_TICK_SECONDS = 0.2  # between two looks at the clock and at Ctrl-C
_LOADS = 3  # that crash in a row: the network is at fault, not a lack of memory that passes
_IN_A_ROW = 5  # videos that fail by the library or the GPU: the next ones would too


class Observer(Protocol):
    """Called by `Scheduler.run`, in its thread."""

    def begin(self, task: Task) -> InferOptions:
        """The options for `task`, which is to be segmented now."""

    def frames(self, task: Task, done: int, expected: int | None) -> None: ...

    def finished(self, task: Task, result: Finished) -> None: ...

    def failed(self, task: Task, message: str) -> Task | None:
        """Return the task to try again after all others, or None."""

    def returned(self, task: Task) -> None:
        """`task` was begun, will be begun again, and has not failed."""


class Scheduler:
    """Keeps the workers of `pool` busy; `timeout` is in seconds for one video."""

    def __init__(self, observer: Observer, pool: WorkerPool[Any], *, timeout: float | None) -> None:
        self._observer, self._pool, self._timeout = observer, pool, timeout
        self._waiting: deque[Task] = deque()
        self._workers: list[Worker] = []
        self._crashed_loads = self._failed_in_a_row = 0

    def run(self, tasks: Iterable[Task], check: Callable[[], None]) -> None:
        """Segment all tasks. Failures go to the observer and end nothing else.

        `check` is called several times a second; if it raises KeyboardInterrupt, the videos in hand are left after
        their frame, resumable. Raises BackendError if the network cannot be loaded or fails for several videos in
        a row, and what the observer raises.
        """
        self._waiting.extend(tasks)
        try:
            while self._waiting or self._busy():
                check()
                self._start_workers()
                self._hand_out()
                self._receive()
                self._kill_late()
            self._end()
        except KeyboardInterrupt:
            self._leave()
            raise
        finally:
            for worker in self._workers:
                worker.kill()
            self._workers.clear()

    def _busy(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.task]

    def _start_workers(self) -> None:
        """As many as there is work for."""
        useful = min(self._pool.count, len(self._waiting) + len(self._busy()))
        while len(self._workers) < useful:
            taken = {worker.slot for worker in self._workers}
            slot = next(slot for slot in range(self._pool.count) if slot not in taken)
            self._workers.append(self._pool.start(slot))

    def _hand_out(self) -> None:
        for worker in self._workers:
            if self._waiting and worker.loaded and not worker.task:
                task = self._waiting.popleft()
                worker.begin(task, self._observer.begin(task))

    def _receive(self) -> None:
        for worker in self._pool.wait(self._workers, _TICK_SECONDS):
            try:
                message = worker.recv()
            except EOFError:
                self._crashed(worker)
            else:
                self._handle(worker, message)

    def _handle(self, worker: Worker, message: Any) -> None:
        if isinstance(message, Loaded):
            worker.loaded, self._crashed_loads = True, 0
            return
        if isinstance(message, CannotLoad):
            raise BackendError(message.message)
        if isinstance(message, Waiting):
            return
        if isinstance(message, Lost):
            self._lost(worker)
            return
        task = worker.task
        assert task is not None
        if isinstance(message, Frames):
            worker.frames = message.done
            self._observer.frames(task, message.done, message.expected)
            return
        worker.task = None
        if isinstance(message, Finished):
            self._failed_in_a_row = 0
            self._observer.finished(task, message)
        elif isinstance(message, Failed):
            self._failed(task, message.message)
        if isinstance(message, Stopped) or (isinstance(message, Failed) and message.ends):
            self._workers.remove(worker)
            worker.ended()
        if isinstance(message, Failed) and message.ends:
            self._failed_in_a_row += 1
            if self._failed_in_a_row == _IN_A_ROW:
                raise BackendError(
                    f"{_IN_A_ROW} videos in a row failed by errors of the network or the machine; the last one is: "
                    f"{message.message}"
                )

    def _crashed(self, worker: Worker) -> None:
        self._workers.remove(worker)
        how = worker.ended()
        if worker.task is not None:
            self._failed(worker.task, f"its process ended by {how} after frame {worker.frames}")
        elif not worker.loaded:
            self._crashed_loads += 1
            if self._crashed_loads == _LOADS:
                raise BackendError(
                    f"the process that loads the network ended by {how}, {_LOADS} times in a row; expected it to load. "
                    "Fix: use fewer --jobs; amc-infer with one of the videos shows the reason"
                )

    def _lost(self, worker: Worker) -> None:
        """The video is not at fault: another worker continues it, and the attempt is not counted."""
        self._workers.remove(worker)
        worker.kill()
        if worker.task is not None:
            self._observer.returned(worker.task)
            self._waiting.appendleft(worker.task)

    def _kill_late(self) -> None:
        for worker in self._busy():
            if self._timeout is not None and worker.busy_seconds > self._timeout:
                self._workers.remove(worker)
                worker.kill()
                assert worker.task is not None
                self._failed(worker.task, f"not done after {self._timeout:g} s (--timeout), at frame {worker.frames}")

    def _failed(self, task: Task, message: str) -> None:
        if (again := self._observer.failed(task, message)) is not None:
            self._waiting.append(again)

    def _end(self) -> None:
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.ended()
        self._workers.clear()

    def _leave(self) -> None:
        """End in order: what is done by now is recorded, the other videos are left as `amc-infer` leaves them."""
        self._waiting.clear()
        for worker in self._busy():
            worker.stop()
        while self._busy():
            self._receive()
            self._kill_late()
