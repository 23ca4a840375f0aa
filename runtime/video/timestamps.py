"""Presentation times that always rise, and the correction of clocks that jump or follow the coding order."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

import av

_LARGEST_REORDERING = 16  # frames: the limit of H.264 and HEVC
_TS_DISCONT = 0x200  # AVFMT_TS_DISCONT
_LONGEST_GAP_SECONDS = 2  # between two packets of a broadcast stream; a longer one is a clock that was set anew


class FrameTimes:
    """Makes the timestamps of one video strictly increasing, and leaves those that already are exactly as they were.

    - A frame without a timestamp comes one frame duration (1 / `frame_rate`) after the frame before it; the first at 0.
    - A timestamp that repeats or falls back by less than a second becomes the smallest later time, one tick after
      the frame before it: the frames after it are on time again.
    - A timestamp that falls back by a second or more is a clock that was set anew (joined recordings): this frame
      comes one frame duration after the one before it, and all later ones keep their distance to it.

    All times are integers in units of `time_base` seconds. `jumps` counts the clocks set anew, `moved` the frames that
    come one tick after the frame before them.
    """

    def __init__(self, time_base: Fraction, frame_rate: Fraction) -> None:
        self.step = max(1, round(1 / (frame_rate * time_base)))
        self.jumps = self.moved = 0
        self._ticks_per_second = 1 / time_base
        self._last: int | None = None
        self._shift = 0
        self._new_recording = False

    def begin_recording(self) -> None:
        """The next frame is the first of another recording: it follows the one before."""
        self._new_recording = True

    def place(self, pts: int | None) -> int:
        """The time of the next frame, whose own timestamp is `pts` (None: it has none)."""
        if self._last is None:
            time = pts if pts is not None else 0
        elif pts is None:
            time = self._last + self.step
        elif self._new_recording:
            time = self._last + self.step
            self._shift = time - pts
        else:
            time = pts + self._shift
            if time <= self._last - self._ticks_per_second:
                time = self._last + self.step
                self._shift = time - pts
                self.jumps += 1
            elif time <= self._last:
                time = self._last + 1
                self.moved += 1
        self._last, self._new_recording = time, False
        return time


class CodingOrder:
    """The times of frames in a container that stores packets in coding order without presentation times (AVI).

    The packets' own times rise evenly, so the n-th frame shown has the time of the n-th packet. FFmpeg gives each
    frame the time of the packet that it is coded in: 2, 8, 6, 10, 4 for a video with B-frames.
    """

    def __init__(self) -> None:
        self._times: deque[int | None] = deque()

    def add(self, time: int | None) -> None:
        """A packet of that time is about to be decoded."""
        self._times.append(time)

    def remove_latest(self) -> None:
        """The latest packet could not be decoded: it gives no frame."""
        if self._times:
            self._times.pop()

    def next(self, latest: int | None) -> int | None:
        """The time of the next frame, which came out of the decoder after the packet of time `latest`."""
        if latest is not None:
            given = sum(1 for time in self._times if time is None or time <= latest)
            for _ in range(given - _LARGEST_REORDERING - 1):  # packets that gave no frame and no error
                self._times.popleft()
        return self._times.popleft() if self._times else None


class ClockJumps:
    """Closes the jumps of a clock in the packets of one video stream, in the order of the file.

    Decoding times rise throughout a stream. Where they fall back, or (in MPEG-TS and MPEG-PS) leap by more than 2 s and
    25 frames, a recording was joined to another: its first packet comes where the latest frame before it ends.
    `shifts` are the seconds added to the times of each piece; the first is 0.
    """

    def __init__(self, time_base: Fraction, frame_rate: Fraction, *, leaps: bool) -> None:
        self.shifts = [Fraction(0)]
        self._time_base = time_base
        self._frame = max(1, round(1 / (frame_rate * time_base)))
        self._leap_seconds = max(Fraction(_LONGEST_GAP_SECONDS), 25 / frame_rate) if leaps else None
        self._last_dts: int | None = None
        self._end = 0  # of the frames so far, with the shift

    @classmethod
    def of(cls, container: av.container.InputContainer, time_base: Fraction, frame_rate: Fraction) -> ClockJumps | None:
        """None for formats whose times cannot jump: a gap is part of the video there."""
        leaps = container.format.name in ("mpegts", "mpeg")
        return cls(time_base, frame_rate, leaps=leaps) if has_clock_jumps(container) else None

    def place(self, packet: av.Packet[av.VideoStream]) -> None:
        """Change the times of the next packet of the video stream."""
        pts, dts = packet.pts, packet.dts if packet.dts is not None else packet.pts
        if pts is None or dts is None:
            return
        if self.is_jump(self._last_dts, dts, self._time_base):
            self.shifts.append((self._end - pts) * self._time_base)
        self._last_dts = dts
        shift = round(self.shifts[-1] / self._time_base)
        packet.pts, packet.dts = pts + shift, dts + shift
        self._end = max(self._end, packet.pts + (packet.duration or self._frame))

    def is_jump(self, last: int | None, dts: int, time_base: Fraction) -> bool:
        """Whether the decoding time `dts` cannot follow `last`, both in units of `time_base` seconds."""
        if last is None:
            return False
        return dts < last or (self._leap_seconds is not None and (dts - last) * time_base > self._leap_seconds)


def has_clock_jumps(container: av.container.InputContainer) -> bool:
    """Whether times in this format may jump (MPEG-TS, MPEG-PS, Ogg, HLS, RTP)."""
    return bool(container.format.flags & _TS_DISCONT)
