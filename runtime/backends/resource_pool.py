"""What one call of a network works with (buffers, execution contexts), lent to one thread at a time."""

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
    """As many lanes as there were threads at once; a lane outlives the thread that it was made for.

    Threads come and go with every video, and what they use is slow to make: a context each would be lost with each.
    """

    def __init__(self, make: Callable[[], Resource]) -> None:
        self._make = make
        self._all: list[Resource] = []
        self._free: list[Resource] = []
        self._lock = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[Resource]:
        """A lane for the calling thread alone, to the end of the block: one that is free, or else a new one."""
        with self._lock:
            lane = self._free.pop() if self._free else None
        if lane is None:
            lane = self._make()
            with self._lock:
                self._all.append(lane)
        try:
            yield lane
        finally:
            with self._lock:
                self._free.append(lane)

    def close(self) -> None:
        """Close all lanes, the last one made first. No thread may be inside `take`."""
        while self._all:
            self._all.pop().close()
        self._free.clear()
