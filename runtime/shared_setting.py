"""Process-wide setting of a library, changed during `with` blocks and restored after the last one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager


class SharedSetting(AbstractContextManager[None]):
    """Context manager that sets a library's process-wide setting; blocks may nest and overlap between threads.

    read, write: functions that get and set the setting. value: the value during the blocks.

    The first block to begin stores the earlier value, the last one to end restores it. If other code changed the
    setting in the meantime, its value is kept.

        single_threaded_opencv = SharedSetting(cv2.getNumThreads, cv2.setNumThreads, 1)
        with single_threaded_opencv: ...
    """

    def __init__(self, read: Callable[[], int], write: Callable[[int], object], value: int) -> None:
        self._read, self._write, self._value = read, write, value
        self._earlier = value
        self._holders = 0
        # Reentrant: the garbage collector may end a generator that holds the setting while this thread takes it.
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):  # else a child forked while another thread is in here would wait forever
            os.register_at_fork(
                before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._lock.release
            )

    def __enter__(self) -> None:
        with self._lock:
            if self._holders == 0:
                self._earlier = self._read()
                self._write(self._value)
            self._holders += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0 and self._read() == self._value:
                self._write(self._earlier)
