"""Ctrl-C handling of the commands: the first ends the command cleanly, the second ends the process at once."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from contextlib import suppress
from types import FrameType
from typing import Self


class GracefulInterrupt:
    """Context manager: the first Ctrl-C raises KeyboardInterrupt, the second ends the process with status 130.

    The second is needed for threads that do not return from a library call: the interpreter waits for them at exit.
    The handler therefore stays installed after a KeyboardInterrupt.

    after_frame: for frame-by-frame work. An exception at an arbitrary point could reach the encoder between two
    packets, so the first Ctrl-C sets a flag, and `check()`, called after each frame, raises KeyboardInterrupt.

    With glibc, the second Ctrl-C also works while a library holds the GIL and no Python code can run: the operating
    system then ends the process by SIGINT, which a shell reports as 130.

    An existing handler of the caller, or SIGINT being ignored (a shell's background job), is left in place. Outside
    the main thread the context manager does nothing.
    """

    def __init__(self, *, after_frame: bool = False) -> None:
        self._after_frame = after_frame
        self._requested = False
        self._earlier = signal.getsignal(signal.SIGINT)

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self._requested:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        ours = isinstance(getattr(self._earlier, "__self__", None), GracefulInterrupt)
        if (ours or self._earlier is signal.default_int_handler) and _in_main_thread():
            signal.signal(signal.SIGINT, self._handle)
            _reset_handler_after_first_signal()
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        ended = error_type is not None and issubclass(error_type, KeyboardInterrupt)
        if not ended and _in_main_thread():
            signal.signal(signal.SIGINT, self._earlier)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._requested:
            os._exit(130)
        self._requested = True
        signal.signal(signal.SIGINT, self._handle)  # also replaces the system's default action
        if not self._after_frame:
            raise KeyboardInterrupt
        with suppress(OSError):  # stderr may be closed. os.write: print is not reentrant
            os.write(2, b"\nstopping after the current frame; press Ctrl-C again to stop at once\n")


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _reset_handler_after_first_signal() -> None:
    """Reset SIGINT to the system's default action after Python's handler has run once (SA_RESETHAND).

    Python's signal module has no such option, and while a library holds the GIL only native code runs.
    """
    libc = ctypes.CDLL(None) if os.name == "posix" else None
    if libc is None or not hasattr(libc, "sysv_signal"):
        return
    for function in (libc.signal, libc.sysv_signal):
        function.argtypes, function.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    pythons = libc.signal(signal.SIGINT, None)
    libc.sysv_signal(signal.SIGINT, pythons)
