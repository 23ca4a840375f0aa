"""Prefetching: run an iterator in a thread of its own, a few items ahead, so that stages overlap."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterator[Item], ahead: int = 2) -> Generator[Item, None, None]:
    """Yield `items` in their order, made in a thread that keeps at most `ahead` of them waiting.

    An exception of `items` is raised here, at its place in the order. Closing or dropping this generator stops the
    thread before its next item and waits for it, and so does the end of the program: a thread that is killed inside
    OpenCV aborts the process.
    """
    # Each call of SimpleQueue is one C function, so Ctrl-C cannot leave its lock taken.
    made: SimpleQueue[tuple[Item, None] | tuple[None, BaseException]] = SimpleQueue()
    room: SimpleQueue[None] = SimpleQueue()
    for _ in range(ahead):
        room.put(None)
    stopped = False

    def work() -> None:
        end: BaseException = StopIteration()
        try:
            while True:
                room.get()
                if stopped:
                    break
                made.put((next(items), None))
        except BaseException as error:  # StopIteration, most of the time
            end = error
        made.put((None, end))

    thread = threading.Thread(target=work, name="amcnet prefetch", daemon=True)

    def stop() -> None:
        nonlocal stopped
        stopped = True
        room.put(None)
        thread.join()

    thread.start()
    try:
        atexit.register(stop)
        while True:
            item, end = made.get()
            if end is not None:
                break
            room.put(None)
            yield item  # type: ignore[misc]  # mypy cannot infer that one of the two is None
        if not isinstance(end, StopIteration):
            raise end
    finally:
        stop()
        atexit.unregister(stop)
