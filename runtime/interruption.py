"""Ctrl-C for a command that works frame by frame: the first ends it after the frame in hand, a second at once."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import Self


class Interruption:
    """`with Interruption() as interruption:`, and `interruption.check()` after each frame raises KeyboardInterrupt.

    An exception out of nowhere could hit the encoder between two packets. A second Ctrl-C exits with 130 and no more
    ado: a read from a stalled pipe cannot be ended otherwise. Where Ctrl-C is ignored (in a shell's background), it
    stays so. For the main thread.
    """

    def __init__(self) -> None:
        self._requested = False
        self._earlier = signal.getsignal(signal.SIGINT)

    def check(self) -> None:
        if self._requested:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        if self._earlier is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._earlier)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._requested:
            os._exit(130)
        self._requested = True
        with suppress(OSError):  # nobody may be listening; not print, which may be what was interrupted
            os.write(2, b"\nstopping after the frame in hand; Ctrl-C again gives up at once\n")
