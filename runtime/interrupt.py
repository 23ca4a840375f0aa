"""Ctrl-C for commands: the first one ends the command in order, a second one ends the process at once."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from contextlib import suppress
from types import FrameType
from typing import Self


class GracefulInterrupt:
    """Around a command: the first Ctrl-C raises KeyboardInterrupt, the second one ends the process with status 130.

    A thread that never returns from a library's call cannot be ended otherwise: the interpreter waits for it at exit.
    So the handler stays in place after a KeyboardInterrupt, when the process is about to end.

    `after_frame`: for work frame by frame. An exception at an arbitrary place could hit the encoder between two
    packets, so the first Ctrl-C is only noted, and `check()` after each frame raises KeyboardInterrupt.

    A second Ctrl-C works even while a library keeps the interpreter's lock (GIL) and no Python code can run: there the
    system ends the process, which is 130 in a shell too. That needs glibc.

    Where Ctrl-C is ignored (in a shell's background) or handled by the caller, it stays so. For the main thread; in
    any other it does nothing.
    """

    def __init__(self, *, after_frame: bool = False) -> None:
        self._after_frame = after_frame
        self._requested = False
        self._earlier = signal.getsignal(signal.SIGINT)

    def check(self) -> None:
        if self._requested:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        ours = isinstance(getattr(self._earlier, "__self__", None), GracefulInterrupt)
        if (ours or self._earlier is signal.default_int_handler) and _in_main_thread():
            signal.signal(signal.SIGINT, self._handle)
            _let_the_system_handle_the_second()
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        ended = error_type is not None and issubclass(error_type, KeyboardInterrupt)
        if not ended and _in_main_thread():
            signal.signal(signal.SIGINT, self._earlier)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._requested:
            os._exit(130)
        self._requested = True
        signal.signal(signal.SIGINT, self._handle)  # Python code runs, so the second one is handled here too
        if not self._after_frame:
            raise KeyboardInterrupt
        with suppress(OSError):  # nobody may be listening; not print, which may be what was interrupted
            os.write(2, b"\nstopping after the frame in hand; Ctrl-C again gives up at once\n")


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _let_the_system_handle_the_second() -> None:
    """Keep Python's handler for one SIGINT only; the next one has the system's default action.

    Python's signal module cannot ask for that (SA_RESETHAND), and only native code runs while the GIL is kept.
    """
    libc = ctypes.CDLL(None) if os.name == "posix" else None
    if libc is None or not hasattr(libc, "sysv_signal"):
        return
    for function in (libc.signal, libc.sysv_signal):
        function.argtypes, function.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    pythons = libc.signal(signal.SIGINT, None)
    libc.sysv_signal(signal.SIGINT, pythons)
