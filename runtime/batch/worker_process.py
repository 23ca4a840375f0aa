"""Workers on this machine: processes, among which the processors are shared out."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, resource_tracker
from typing import Any

from ..infer import InferOptions
from ..interrupt import SIGNALS
from .worker import Segment, run_worker
from .worker_pool import Worker, WorkerPool

_END_SECONDS = 10.0  # for libraries to end their threads


class WorkerProcess(Worker):
    """The parent's side of a started process. `cores` are the processors that belong to the slot."""

    def __init__(self, options: InferOptions, slot: int, cores: Sequence[int], segment: Segment) -> None:
        super().__init__(slot)
        context = multiprocessing.get_context("spawn")  # a fork would copy the locks of the libraries' threads
        self.connection: connection.Connection[Any, Any]
        self.connection, theirs = context.Pipe()
        self._scratch = tempfile.TemporaryDirectory(prefix="amc-batch-")  # removed here: the process may be killed
        self._process = context.Process(
            target=run_worker,
            args=(theirs, options, cores, self._scratch.name, segment),
            name="amcnet worker",
            daemon=True,
        )
        with _signals_blocked():
            self._process.start()
        theirs.close()  # else the end of the process would not be noticed here

    def _send(self, options: InferOptions) -> None:
        with suppress(OSError):
            self.connection.send(options)

    def recv(self) -> Any:
        try:
            return self.connection.recv()
        except OSError as error:
            raise EOFError from error

    def stop(self) -> None:
        with suppress(OSError):
            self.connection.send(None)

    def ended(self) -> str:
        self._process.join(_END_SECONDS)
        return self.kill()

    def kill(self) -> str:
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


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """A process started in this block inherits the block: a signal during its imports would end it with a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # otherwise `start` begins with it, which ends the block
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


class LocalWorkers(WorkerPool[WorkerProcess]):
    """`jobs` processes; `options` name the network, and `segment` is called in them for each video."""

    def __init__(self, options: InferOptions, *, jobs: int, segment: Segment) -> None:
        self.count = jobs
        self._options, self._segment = options, segment
        self._shares = share_out(_cores(), jobs)

    def start(self, slot: int) -> WorkerProcess:
        return WorkerProcess(self._options, slot, self._shares[slot], self._segment)

    def wait(self, workers: Sequence[WorkerProcess], seconds: float) -> list[WorkerProcess]:
        ready = connection.wait([worker.connection for worker in workers], seconds)
        return [worker for worker in workers if worker.connection in ready]


def share_out(cores: Sequence[int], jobs: int) -> list[Sequence[int]]:
    """The processors for each of `jobs` processes: disjoint and nearly equal, or one each where they are too few.

    Without shares, each process starts threads for all of them: 1.4 times the time with two processes on two cores.
    """
    if jobs >= len(cores):
        return [cores[job % len(cores) : job % len(cores) + 1] for job in range(jobs)]
    return [cores[job * len(cores) // jobs : (job + 1) * len(cores) // jobs] for job in range(jobs)]


def _cores() -> list[int]:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return sorted(affinity(0)) if affinity else list(range(os.cpu_count() or 1))
