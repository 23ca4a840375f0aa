"""Workers on a Ray cluster: actors, one network each.

Actors and not `Dataset.map_batches`: a video that crashes its process, or exceeds its time, fails alone. Ray Data 2.60
repeats the block of an actor that has died without end, and has no limit of time for a row.
"""

from __future__ import annotations

import os
import queue
import re
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import AmcNetError, BackendError
from ..extras import require
from ..infer import InferOptions
from ..segmenter import Segmenter
from .options import segmenter_arguments
from .worker import CannotLoad, Failed, Finished, Frames, Loaded, Lost, Segment, Stopped, Waiting, segment_one
from .worker_pool import Worker, WorkerPool

_CONNECT_SECONDS = 5.0
Message = Finished | Failed | Stopped | Frames


@contextmanager
def open_cluster(address: str) -> Iterator[None]:
    """Connect to the Ray cluster at HOST:PORT, or to the one of this machine ("auto"); Ray may be connected already.

    Raises BackendError where Ray is missing or another version, or where no cluster runs.
    """
    require("amc-batch --ray", "ray")
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        _connect(address)
        yield
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    import ray

    if address != "auto":
        _require_listening(address)
    try:
        ray.init(address=address, logging_level="warning")
    except ConnectionError as error:
        raise BackendError(f"no Ray cluster was found ({error}); {_START}") from error
    except (RuntimeError, ValueError) as error:  # RuntimeError: another version of Ray or Python
        reason = " ".join(str(error).split())
        raise BackendError(
            f"the Ray cluster at {address} cannot be used: {reason}; expected the versions of Ray and Python on "
            "this machine. Fix: install the same versions"
        ) from error


_START = "expected a running one. Fix: ray start --head, or --ray HOST:PORT"


def _require_listening(address: str) -> None:
    """Ray itself tries for a minute before it gives up."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise BackendError(f"the Ray address is {address!r}; expected HOST:PORT, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise BackendError(f"no Ray cluster runs at {address} ({error}); {_START}") from error


class RayWorkers(WorkerPool["RayWorker"]):
    """`jobs` actors, by default one for each CPU of the cluster (GPU if `on_gpu`); each asks for one CPU (and GPU).

    More of them than the cluster has room for wait for nodes, which an autoscaler adds.
    """

    def __init__(self, options: InferOptions, *, jobs: int | None, on_gpu: bool, segment: Segment) -> None:
        import ray

        self.count = jobs or max(1, int(ray.cluster_resources().get("GPU" if on_gpu else "CPU", 0)))
        self.request = {"num_cpus": 1, "num_gpus": 1 if on_gpu else 0}
        self._options, self._segment = options, segment

    def start(self, slot: int) -> RayWorker:
        import ray

        # Two threads of the actor: `stop` has to be heard during `segment`.
        actor_class = ray.remote(**self.request, max_concurrency=2, max_restarts=0)(_Actor)
        return RayWorker(slot, actor_class.remote(self._options, self._segment, os.getcwd()))

    def wait(self, workers: Sequence[RayWorker], seconds: float) -> list[RayWorker]:
        import ray

        answers = {worker.answer: worker for worker in workers if worker.task or not worker.loaded}
        ready, _ = ray.wait(list(answers), num_returns=len(answers), timeout=0)
        if not ready:
            ready, _ = ray.wait(list(answers), timeout=seconds)
        return [answers[answer] for answer in ready]


class RayWorker(Worker):
    """The driver's side of an actor; `answer` is the reference or generator that will have its next message."""

    def __init__(self, slot: int, actor: Any) -> None:
        super().__init__(slot)
        self._actor, self._node, self._how = actor, "", "no error"
        self.answer = actor.load.remote()

    def _send(self, options: InferOptions) -> None:
        self.answer = self._actor.segment.options(num_returns="streaming").remote(options)

    def recv(self) -> Any:
        """The next message; Lost if the actor's node has left the cluster. Raises EOFError if the actor has died."""
        import ray

        try:
            answer = ray.get(
                next(self.answer) if self.task and not isinstance(self.answer, ray.ObjectRef) else self.answer
            )
        except ray.exceptions.ActorUnavailableError:
            self.answer = self._actor.lost.remote()  # known only later: the actor has died, its node, or neither
            return Waiting()
        except ray.exceptions.RayError as error:
            self._how = _how(error)
            if getattr(error, "preempted", False) or not self._has_node():
                return Lost()
            raise EOFError from error
        if isinstance(answer, tuple):
            self._node, answer = answer
        return answer

    def _has_node(self) -> bool:
        import ray

        return not self._node or any(node["NodeID"] == self._node and node["Alive"] for node in ray.nodes())

    def stop(self) -> None:
        self._actor.stop.remote()

    def ended(self) -> str:
        return self.kill()

    def kill(self) -> str:
        import ray

        with suppress(ray.exceptions.RayError):
            ray.kill(self._actor)
        return self._how


def _how(error: Exception) -> str:
    kind = re.search(r"Worker exit type: (\w+) Worker exit detail: ([^.]+)", str(error))
    return f"{kind[1]} ({kind[2]})" if kind else f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


class _Actor:
    """Runs on a node: loads the network once, then segments one video after the other."""

    def __init__(self, options: InferOptions, segment: Segment, folder: str) -> None:
        self._options, self._segment, self._folder = options, segment, folder
        self._stopping = threading.Event()

    def load(self) -> tuple[str, Loaded | CannotLoad]:
        import ray

        with suppress(OSError):
            os.chdir(self._folder)  # relative paths are those of the command
        claim_assigned_cores()
        node = ray.get_runtime_context().get_node_id()
        try:
            self._segmenter = Segmenter.load(**segmenter_arguments(self._options))
        except AmcNetError as error:
            return node, CannotLoad(f"on node {node}: {error}")
        return node, Loaded()

    def segment(self, options: InferOptions) -> Iterator[Message]:
        channel = _Channel(self._stopping)

        def run() -> None:
            channel.send(segment_one(channel, options, self._segmenter, self._segment))

        threading.Thread(target=run, daemon=True).start()
        while isinstance(message := channel.messages.get(), Frames):
            yield message
        yield message

    def stop(self) -> None:
        self._stopping.set()

    def lost(self) -> Lost:
        """Answer in place of a message that was lost."""
        return Lost()


class _Channel:
    """What `segment_one` needs of a connection."""

    def __init__(self, stopping: threading.Event) -> None:
        self.messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.poll, self.send = stopping.is_set, self.messages.put


def claim_assigned_cores() -> list[int]:
    """`claim_cores` for the CPUs that Ray has assigned to this actor; nothing outside of Ray."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return []
    return claim_cores(max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1))))


def claim_cores(count: int, folder: Path | None = None) -> list[int]:
    """Bind this process to `count` processors that no other process has claimed in `folder` (of temporary files).

    Without it each actor of a node would start threads for all processors. Returns the file descriptors that hold the
    claims until the process ends. Where too few are left, or the system has no such binding, nothing is bound.
    """
    if not hasattr(os, "sched_getaffinity"):
        return []
    import fcntl

    claims: dict[int, int] = {}
    for core in sorted(os.sched_getaffinity(0)):
        with suppress(OSError):  # claimed
            path = (folder or Path(tempfile.gettempdir())) / f"amcnet-core-{core}.lock"
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
                raise
            claims[core] = file
        if len(claims) == count:
            for thread in os.listdir("/proc/self/task"):  # those that exist; others inherit from them
                with suppress(OSError):
                    os.sched_setaffinity(int(thread), claims)
            return list(claims.values())
    for file in claims.values():
        os.close(file)
    return []
