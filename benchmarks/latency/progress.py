"""Progress of amc-bench on stderr: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Protocol

from tqdm import tqdm

_LINE_EVERY_SECONDS = 10


class Report(Protocol):
    """Called with what is measured next, and the seconds left in all; None for a step of unknown duration."""

    def __call__(self, text: str, left_s: float | None = None) -> None: ...


class BenchProgress:
    """A `Report` that prints. Steps of unknown duration always have a line, others one line in 10 s; call `close`."""

    def __init__(self) -> None:
        self._begin_s = time.monotonic()
        self._last_line_s: float | None = None
        self._bar: tqdm | None = None

    def __call__(self, text: str, left_s: float | None = None) -> None:
        now_s = time.monotonic()
        left = "" if left_s is None else f", {left_s:.0f} s left"
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = tqdm(total=1.0, bar_format="{percentage:3.0f}%|{bar:20}| {desc}", dynamic_ncols=True)
            if left_s is not None:
                spent_s = now_s - self._begin_s
                self._bar.n = max(self._bar.n, spent_s / max(spent_s + left_s, 1e-9))
            self._bar.set_description_str(text + left)
        elif left_s is None or self._last_line_s is None or now_s - self._last_line_s >= _LINE_EVERY_SECONDS:
            self._last_line_s = now_s
            print(text + left, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Print a warning above the bar."""
        if self._bar is not None:
            self._bar.write(f"warning: {text}", file=sys.stderr)
        else:
            print(f"warning: {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.leave = False
            self._bar.close()
