"""Times of presentation that always rise, whatever the file says."""

from __future__ import annotations

from fractions import Fraction


class FrameTimes:
    """Makes the timestamps of one video strictly increasing, and leaves those that already are exactly as they were.

    - A frame without a timestamp comes one frame duration (1 / `frame_rate`) after the frame before it; the first at 0.
    - A timestamp that repeats or falls back by less than a second becomes the smallest later time, one tick after
      the frame before it: the frames after it are on time again.
    - A timestamp that falls back by a second or more is a clock that was set anew (joined recordings): this frame
      comes one frame duration after the one before it, and all later ones keep their distance to it.

    All times are integers in units of `time_base` seconds.
    """

    def __init__(self, time_base: Fraction, frame_rate: Fraction) -> None:
        self.step = max(1, round(1 / (frame_rate * time_base)))
        self._ticks_per_second = 1 / time_base
        self._last: int | None = None
        self._shift = 0

    def place(self, pts: int | None) -> int:
        """The time of the next frame, whose own timestamp is `pts` (None: it has none)."""
        if self._last is None:
            time = pts if pts is not None else 0
        elif pts is None:
            time = self._last + self.step
        else:
            time = pts + self._shift
            if time <= self._last - self._ticks_per_second:
                time = self._last + self.step
                self._shift = time - pts
            elif time <= self._last:
                time = self._last + 1
        self._last = time
        return time
