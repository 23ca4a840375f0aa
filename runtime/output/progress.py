"""Progress of a run: a bar with speed and time left on a terminal, a plain line every 10 s elsewhere."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from ..frame import SourceInfo

_LINE_EVERY_SECONDS = 10


class Progress:
    """Call it with the source and the frames done so far, after each frame; close it at the end.

    `done` is the number of frames of the latest call.
    """

    def __init__(self) -> None:
        self.done = 0
        self._bar: tqdm | None = None
        self._first: tuple[float, int] | None = None  # seconds and frames at the first call: loading is no progress
        self._last_line_seconds = 0.0

    def __call__(self, info: SourceInfo, done: int) -> None:
        self.done = done
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = tqdm(desc=info.name, total=info.expected_frames, unit="frame", dynamic_ncols=True)
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if self._first is None:
            self._first, self._last_line_seconds = (now, done), now
        elif now - self._last_line_seconds >= _LINE_EVERY_SECONDS:
            self._last_line_seconds = now
            fps = (done - self._first[1]) / (now - self._first[0])
            of_all, left = "", ""
            if info.expected_frames is not None:
                of_all = f"/{info.expected_frames}"
                left = f", {max(info.expected_frames - done, 0) / fps:.0f} s left"
            print(f"{info.name}: frame {done}{of_all}, {fps:.1f} frames/s{left}", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
