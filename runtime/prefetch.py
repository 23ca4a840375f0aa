"""Run an iterator in a thread of its own, a few items ahead: how reading, flow, network and writing overlap."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterator[Item], ahead: int = 2) -> Generator[Item, None, None]:
    """The same items in the same order, made in a thread that keeps at most `ahead` of them waiting.

    An exception of `items` comes out here, where it would have come. Closing this generator (or dropping it) stops the
    thread before its next item and waits for it; so does the end of the program, for a thread that dies inside OpenCV
    takes the process with it.
    """
    # SimpleQueue, whose calls are one C function each: Ctrl-C cannot leave a lock of theirs taken.
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
            yield item  # type: ignore[misc]  # mypy does not know that one of the two is None
        if not isinstance(end, StopIteration):
            raise end
    finally:
        stop()
        atexit.unregister(stop)
