"""Ctrl-C, SIGTERM and SIGHUP in the commands: the first ends the command cleanly, a further Ctrl-C at once."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from contextlib import suppress
from types import FrameType
from typing import Self

SIGNALS = tuple(signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__)


class SignalInterrupt(KeyboardInterrupt):
    """KeyboardInterrupt for the signal `number`; `exit_status` is what a shell reports: 130, 143 or 129."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


class GracefulInterrupt:
    """Context manager: the first Ctrl-C, SIGTERM or SIGHUP raises SignalInterrupt; Ctrl-C after it ends the process.

    The further Ctrl-C is needed for threads that do not return from a library call: the interpreter waits for them at
    exit. The handler therefore stays installed after a SignalInterrupt. A repeated SIGTERM or SIGHUP changes nothing:
    `timeout` sends each signal twice, and a terminal that is closed may.

    after_frame: for frame-by-frame work. An exception at an arbitrary point could reach the encoder between two
    packets, so the first signal sets a flag, and `check()`, called after each frame, raises SignalInterrupt.

    With glibc, the further Ctrl-C also works while a library holds the GIL and no Python code can run: the operating
    system then ends the process by SIGINT, which a shell reports as 130.

    An existing handler of the caller, or a signal being ignored (a shell's background job, `nohup`), is left in place.
    Outside the main thread the context manager does nothing.
    """

    def __init__(self, *, after_frame: bool = False) -> None:
        self._after_frame = after_frame
        self._received: int | None = None
        self._process = os.getpid()
        earlier = {number: signal.getsignal(number) for number in SIGNALS}
        self._earlier = {number: handler for number, handler in earlier.items() if _is_default(number, handler)}

    def check(self) -> None:
        """Raise SignalInterrupt if a signal was received."""
        if self._received is not None:
            raise SignalInterrupt(self._received)

    def __enter__(self) -> Self:
        if _in_main_thread():
            for number in self._earlier:
                signal.signal(number, self._handle)
            if signal.SIGINT in self._earlier:
                _reset_handler_after_first_signal()
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        ended = error_type is not None and issubclass(error_type, KeyboardInterrupt)
        if not ended and _in_main_thread():
            for number, handler in self._earlier.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGINT and os.getpid() != self._process:
            signal.signal(number, signal.SIG_DFL)  # a forked child ends as it would without this handler
            os.kill(os.getpid(), number)
            return
        if number == signal.SIGINT:
            signal.signal(number, self._handle)  # also replaces the system's default action
        if self._received is not None:
            if number == signal.SIGINT:
                os._exit(128 + number)
            return
        self._received = number
        _discard_output_of_closed_terminal()
        if not self._after_frame:
            raise SignalInterrupt(number)
        again = "; press Ctrl-C again to stop at once" if number == signal.SIGINT else ""
        with suppress(OSError):  # stderr may be closed. os.write: print is not reentrant
            os.write(2, f"\nstopping after the current frame{again}\n".encode())


def _is_default(number: int, handler: object) -> bool:
    """Whether `handler` may be replaced: Python's or the system's own, or that of another GracefulInterrupt."""
    if isinstance(getattr(handler, "__self__", None), GracefulInterrupt):
        return True
    return handler is (signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _discard_output_of_closed_terminal() -> None:
    """Redirect stdout and stderr to /dev/null where they are a closed terminal, so that messages raise no error."""
    for stream in (1, 2):
        try:
            os.write(stream, b"")
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


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
