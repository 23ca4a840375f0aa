"""Pool of per-call resources (buffers, execution contexts), reused across threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from ..closeable import Closeable


class _HasClose(Protocol):
    def close(self) -> None: ...


Resource = TypeVar("Resource", bound=_HasClose)


class ResourcePool(Closeable, Generic[Resource]):
    """As many resources as were in use at the same time; a resource outlives the thread that it was made for.

    Each video has threads of its own, and a resource is slow to make: one per thread would be made anew per video.
    """

    def __init__(self, make: Callable[[], Resource]) -> None:
        self._make = make
        self._all: list[Resource] = []
        self._free: list[Resource] = []
        self._lock = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[Resource]:
        """A resource for the calling thread alone, until the end of the block: a free one, or else a new one."""
        with self._lock:
            resource = self._free.pop() if self._free else None
        if resource is None:
            resource = self._make()
            with self._lock:
                self._all.append(resource)
        try:
            yield resource
        finally:
            with self._lock:
                self._free.append(resource)

    def close(self) -> None:
        """Close all resources, the last one made first. No thread may be inside `take`."""
        while self._all:
            self._all.pop().close()
        self._free.clear()
