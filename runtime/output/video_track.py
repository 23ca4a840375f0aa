"""Images with their times as the video track of a file."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ..frame import SourceInfo
from .video_encoding import H264, VideoEncoding

_BT709 = 1  # as in H.264, Annex E


class VideoTrack:
    """Encodes images of one size, (W, H), each shown from its own time to that of the next.

    `add` and `finish` write to `output` and raise `av.FFmpegError` if that fails. Times are in units of
    `info.time_base`, counted from `origin` (seconds of the source).
    """

    def __init__(
        self,
        output: OutputContainer,
        info: SourceInfo,
        size: tuple[int, int],
        origin: Fraction,
        encoding: VideoEncoding = H264,
    ) -> None:
        self.size = size
        self._first = self._last = 0  # ticks
        self._tick = Fraction(1, encoding.ticks_per_second(info))  # seconds
        self._output, self._info, self._origin, self._to_frame = output, info, origin, encoding.to_frame
        self._interval = 0  # ticks between the latest two frames
        self._own_duration: int | None = None  # ticks, of the latest frame
        self._count = 0
        self._held: av.VideoFrame | None = None  # the latest frame, until its duration is known
        self._durations: dict[int, int] = {}  # ticks, by time, of the frames inside the encoder
        stream = cast(VideoStream, output.add_stream(encoding.codec(size), rate=info.frame_rate or 25))
        stream.options = dict(encoding.options)
        stream.width, stream.height = size
        stream.pix_fmt = encoding.pixel_format(size)
        stream.codec_context.sample_aspect_ratio = info.sample_aspect_ratio
        stream.time_base = stream.codec_context.time_base = self._tick
        stream.codec_context.colorspace, stream.codec_context.color_range = encoding.matrix, encoding.color_range
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
        """Add an image as the encoding takes it, to be shown from `pts`; another size than the track's is scaled to it.

        `duration` matters for the last frame: None gives it that of the frame before.
        """
        if pixels.shape[1::-1] != self.size:
            pixels = cv2.resize(pixels, self.size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        image = self._to_frame(pixels)
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
