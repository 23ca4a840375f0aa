"""Presentation times that always rise, and the correction of clocks that jump or follow the coding order."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import Any

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

    All times are integers in units of `time_base` seconds. `jumps` counts the clocks set anew.
    """

    def __init__(self, time_base: Fraction, frame_rate: Fraction) -> None:
        self.step = max(1, round(1 / (frame_rate * time_base)))
        self.jumps = 0
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
                self.jumps += 1
            elif time <= self._last:
                time = self._last + 1
        self._last = time
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


class JumpDetector:
    """Finds where the times of one stream, in the order of the file, cannot follow those before them.

    MPEG-TS, MPEG-PS, Ogg, HLS, RTP: decoding times that fall back or, in the first two, leap by more than 2 s and 25
    frames. Matroska, whose decoding times FFmpeg guesses: presentation times of keyframes that fall back by 1 s, or to
    the first time of the recording.
    """

    def __init__(self, time_base: Fraction, frame_rate: Fraction, *, leaps: bool, restarts: bool) -> None:
        self._time_base, self._restarts = time_base, restarts
        self._leap_seconds = max(Fraction(_LONGEST_GAP_SECONDS), 25 / frame_rate) if leaps else None
        self._first: int | None = None
        self._latest: int | None = None

    def is_jump(self, packet: av.Packet[Any]) -> bool:
        """Whether a recording begins with `packet`, which has a presentation time."""
        assert packet.pts is not None
        time = packet.dts if packet.dts is not None and not self._restarts else packet.pts
        if self._first is None or self._latest is None:
            self._first = self._latest = time
            return False
        seconds = (time - self._latest) * self._time_base
        if self._restarts:
            jump = packet.is_keyframe and (seconds <= -1 or time <= self._first < self._latest)
            self._latest = time if jump else max(time, self._latest)
        else:
            jump = seconds < 0 or (self._leap_seconds is not None and seconds > self._leap_seconds)
            self._latest = time
        if jump:
            self._first = time
        return jump


class ClockJumps:
    """Closes the jumps of a clock in the packets of one video stream, in the order of the file.

    Where its times cannot follow those before them, a recording was joined to another: its first packet comes where the
    latest frame before it ends. `shifts` are the seconds added to the times of each piece; the first is 0.
    """

    def __init__(self, time_base: Fraction, frame_rate: Fraction, *, leaps: bool, restarts: bool) -> None:
        self.shifts = [Fraction(0)]
        self._time_base, self._frame_rate = time_base, frame_rate
        self._frame = max(1, round(1 / (frame_rate * time_base)))
        self._leaps, self._restarts = leaps, restarts
        self._detector = self.detector(time_base)
        self._end = 0  # of the frames so far, with the shift

    @classmethod
    def of(cls, container: av.container.InputContainer, time_base: Fraction, frame_rate: Fraction) -> ClockJumps | None:
        """None for formats whose times cannot jump: a gap is part of the video there."""
        name = container.format.name
        restarts = name == "matroska,webm"
        if not restarts and not has_clock_jumps(container):
            return None
        return cls(time_base, frame_rate, leaps=name in ("mpegts", "mpeg"), restarts=restarts)

    def detector(self, time_base: Fraction) -> JumpDetector:
        """That of another stream of the file, whose times are in units of `time_base` seconds."""
        return JumpDetector(time_base, self._frame_rate, leaps=self._leaps, restarts=self._restarts)

    def place(self, packet: av.Packet[av.VideoStream]) -> None:
        """Change the times of the next packet of the video stream."""
        pts, dts = packet.pts, packet.dts
        if pts is None:
            return
        if self._detector.is_jump(packet):
            self.shifts.append((self._end - pts) * self._time_base)
        shift = round(self.shifts[-1] / self._time_base)
        packet.pts = pts + shift
        packet.dts = dts + shift if dts is not None else None
        self._end = max(self._end, packet.pts + (packet.duration or self._frame))


def has_clock_jumps(container: av.container.InputContainer) -> bool:
    """Whether the clock of this format may begin and jump anywhere (MPEG-TS, MPEG-PS, Ogg, HLS, RTP)."""
    return bool(container.format.flags & _TS_DISCONT)
