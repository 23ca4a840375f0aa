"""How far a run is: a bar with speed and time left on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from .frame import SourceInfo

_LINE_EVERY_SECONDS = 10


class Progress:
    """Call it with the source and the frames done so far, after each frame; close it at the end."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._begin = self._last_line = time.monotonic()

    def __call__(self, info: SourceInfo, done: int) -> None:
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = tqdm(desc=info.name, total=info.expected_frames, unit="frame", dynamic_ncols=True)
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if now - self._last_line >= _LINE_EVERY_SECONDS:
            self._last_line = now
            fps = done / (now - self._begin)
            of_all = f"/{info.expected_frames}" if info.expected_frames else ""
            left = f", {(info.expected_frames - done) / fps:.0f} s left" if info.expected_frames else ""
            print(f"{info.name}: frame {done}{of_all}, {fps:.1f} frames/s{left}", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
