"""RGB images with their times as one H.264 track of an MP4 file."""

from __future__ import annotations

import math
import os
from fractions import Fraction

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ..frame import SourceInfo

_FINEST_TICK = 10_000_000  # per second: at this a frame of 214 s still fits into MP4's 31 bits
_BT709, _BT601, _LIMITED = 1, 6, 1  # as in H.264, Annex E


def ticks_per_second(info: SourceInfo) -> int:
    """The MP4 timescale in which the times of the source, and if possible its frame rate, are whole numbers."""
    times = info.time_base.denominator
    both = math.lcm(times, info.frame_rate.numerator) if info.frame_rate else times
    ticks = next((ticks for ticks in (both, times) if ticks <= _FINEST_TICK), 1_000_000)
    while ticks < 10_000:  # so that a time moved by one tick is not seen; the muxer would do the same
        ticks *= 2
    return ticks


class VideoTrack:
    """Encodes images of one size, (W, H), each shown from its own time to that of the next.

    `add` and `finish` write to `output` and raise `av.FFmpegError` if that fails. Times are in units of
    `info.time_base`, counted from `origin` (seconds of the source).
    """

    def __init__(self, output: OutputContainer, info: SourceInfo, size: tuple[int, int], origin: Fraction) -> None:
        self.size = size
        self._first = self._last = 0  # ticks
        self._tick = Fraction(1, ticks_per_second(info))  # seconds
        self._output, self._info, self._origin = output, info, origin
        self._interval = 0  # ticks between the latest two frames
        self._own_duration: int | None = None  # ticks, of the latest frame
        self._count = 0
        self._held: av.VideoFrame | None = None  # the latest frame, until its duration is known
        self._durations: dict[int, int] = {}  # ticks, by time, of the frames inside the encoder
        stream = output.add_stream("libx264", rate=info.frame_rate or 25)
        # CPU time and size of an 854x480 frame: veryfast 12 ms, 18 kB; without B-frames 10.3 ms, 23 kB, 0.6 dB better,
        # and decoding times equal presentation times, so that MP4 keeps each time and duration exactly; superfast
        # 6.6 ms, 26 kB: the encoder takes its time from the network, and the file is for looking at.
        stream.options = {"preset": "superfast", "crf": "20", "bf": "0"}
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p" if _is_even(size) else "yuv444p"
        stream.codec_context.sample_aspect_ratio = info.sample_aspect_ratio
        stream.time_base = stream.codec_context.time_base = self._tick
        # BT.601, because programs that ignore the tag assume it: theirs are the right colors too.
        stream.codec_context.colorspace, stream.codec_context.color_range = _BT601, _LIMITED
        stream.codec_context.color_primaries = stream.codec_context.color_trc = _BT709
        # One thread is done in 12.2 ms (CPU time 12.2); two in 7.7 ms (13.3) where both cores are idle. Of two cores,
        # the network needs the other one.
        stream.codec_context.thread_count = max(1, (os.cpu_count() or 1) // 2)
        stream.codec_context.thread_type = "FRAME"
        self._stream = stream

    def begin_seconds(self, pts: int) -> Fraction:
        """When a frame of time `pts` begins in the output."""
        return pts * self._info.time_base - self._origin

    def add(self, pixels: NDArray[np.uint8], pts: int, duration: int | None = None) -> None:
        """Add `pixels` (H, W, 3) RGB, to be shown from `pts`; another size than the track's is scaled to it.

        `duration` matters for the last frame: None gives it that of the frame before.
        """
        if pixels.shape[1::-1] != self.size:
            pixels = cv2.resize(pixels, self.size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        image = _to_yuv(pixels)
        ticks = round(self.begin_seconds(pts) / self._tick)
        if self._count == 0:
            self._first = ticks
        else:
            ticks = max(ticks, self._last + 1)  # two times can meet where the source's are finer than a microsecond
        image.pts, image.time_base = ticks, self._tick
        if self._count:
            self._interval = ticks - self._last
            self._encode_held(self._interval)
        self._held, self._last = image, ticks
        self._own_duration = round(duration * self._info.time_base / self._tick) if duration else None
        self._count += 1

    def finish(self) -> Fraction:
        """Encode what is left; return when the last frame ends, in seconds of the output."""
        duration = self._last_duration()
        self._encode_held(duration)
        self._mux(self._stream.encode(None))
        return (self._last + duration) * self._tick

    def _encode_held(self, duration: int) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._durations[self._last] = duration
            self._mux(self._stream.encode(held))

    def _mux(self, packets: list[av.Packet[VideoStream]]) -> None:
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts)
            self._output.mux(packet)

    def _last_duration(self) -> int:
        """Its own, or else that of the frame before, within what makes `frame_rate` the track's average to the last
        digit where the source's times are rounded (Matroska: to 1 ms).
        """
        rate = self._info.frame_rate
        if self._own_duration:
            return self._own_duration
        if rate is None:
            return self._interval or round(Fraction(1, 25) / self._tick)
        if self._interval == 0:
            return round(1 / rate / self._tick)
        stride = round(self._interval * self._tick * rate)
        even = round(self._count * stride / rate / self._tick) - (self._last - self._first)
        rounding = 2 * math.ceil(self._info.time_base / self._tick)
        return even if abs(even - self._interval) <= min(rounding, self._interval // 4) else self._interval


def _to_yuv(pixels: NDArray[np.uint8]) -> av.VideoFrame:
    """(H, W, 3) RGB to limited-range BT.601: 4:2:0, which every player decodes, but 4:4:4 for odd sizes, for which
    H.264 has no 4:2:0.
    """
    if _is_even(pixels.shape):
        # OpenCV takes 0.3 ms for 854x480 where swscale takes 2.0.
        planes = cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420).astype(np.uint8, copy=False)
        return av.VideoFrame.from_ndarray(planes, format="yuv420p")
    image = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    return image.reformat(format="yuv444p", dst_colorspace="ITU601", dst_color_range="MPEG")


def _is_even(size: tuple[int, ...]) -> bool:
    return size[0] % 2 == size[1] % 2 == 0
