"""The progress of a batch: one bar on a terminal, plain lines elsewhere, and a line for each failure at once."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from .video import Video

_LINE_EVERY_SECONDS = 10


class BatchProgress:
    """Counts videos and frames; made by the command, told by the recorder, closed at the end."""

    def __init__(self) -> None:
        self._total = self._done = self._failed = 0
        self._frames = 0  # of finished videos, in this run
        self._in_hand: dict[str, tuple[int, int | None]] = {}  # frames done and expected, by relative path
        self._bar: tqdm | None = None
        self._first_seconds: float | None = None  # at the first frame: loading is no progress
        self._last_line_seconds = 0.0

    def begin(self, videos: int, done: int, failed: int) -> None:
        """`videos` are to be segmented; `done` were by an earlier run, and `failed` failed there."""
        self._total = videos
        if done or failed:
            self._say(f"{videos} videos to do; in an earlier run {done} were done and {failed} failed (--retry-failed)")
        if sys.stderr.isatty() and videos:
            self._bar = tqdm(total=videos, unit="video", dynamic_ncols=True, bar_format=_BAR)

    def frames(self, video: Video, done: int, expected: int | None) -> None:
        self._in_hand[video.relative] = (done, expected)
        self._show()

    def finished(self, video: Video, frames: int) -> None:
        self._in_hand.pop(video.relative, None)
        self._done += 1
        self._frames += frames
        self._show()

    def failed(self, video: Video, message: str, *, for_good: bool = False) -> None:
        done, _ = self._in_hand.pop(video.relative, (0, None))
        self._frames += done
        self._failed += for_good
        self._say(f"failed: {video.relative}: {message}")
        self._show()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _show(self) -> None:
        now = time.monotonic()
        if self._first_seconds is None:
            self._first_seconds = self._last_line_seconds = now
        frames = self._frames + sum(done for done, _ in self._in_hand.values())
        # A video in hand counts by its share of frames, so that time left is right for a few long ones too.
        videos = self._done + self._failed + sum(min(done / of, 1) if of else 0 for done, of in self._in_hand.values())
        seconds = now - self._first_seconds
        rate = frames / seconds if seconds else 0.0
        if self._bar is not None:
            self._bar.set_postfix_str(f"{frames} frames, {rate:.1f} frames/s, {self._failed} failed", refresh=False)
            self._bar.update(videos - self._bar.n)
        elif now - self._last_line_seconds >= _LINE_EVERY_SECONDS:
            self._last_line_seconds = now
            left = f", {(self._total - videos) * seconds / videos:.0f} s left" if videos else ""
            self._say(
                f"{self._done + self._failed}/{self._total} videos, {frames} frames, {rate:.1f} frames/s{left}, "
                f"{self._failed} failed"
            )

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)


_BAR = "{percentage:3.0f}%|{bar}| {n:.1f}/{total} videos [{elapsed}<{remaining}{postfix}]"
