"""Ways to store a video: container, codec, pixel format, and the conversion of an image to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ..frame import SourceInfo
from .audio_encoding import MATROSKA_AUDIO, MOV_AUDIO, MP4_AUDIO, WEBM_AUDIO, AudioEncoding

_FINEST_TICK = 10_000_000  # per second: at this a frame of 214 s still fits into MP4's 31 bits
_MATROSKA = ("matroska", "webm")
_BT709, _BT601, _LIMITED, _FULL = 1, 6, 1, 2  # as in H.264, Annex E


@dataclass(frozen=True, kw_only=True)
class VideoEncoding:
    """A container with one codec.

    `name` is that of the codec in messages. `codec` (FFmpeg's name) and `pixel_format` are those of an image size
    (W, H). `to_frame` converts an image: (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) gray, uint8. `matrix` and
    `color_range` are codes of H.264, Annex E. `largest` is in pixels a side. `audio` is for the tracks of the source.
    """

    name: str
    container: str
    codec: Callable[[tuple[int, ...]], str]
    pixel_format: Callable[[tuple[int, ...]], str]
    to_frame: Callable[[NDArray[np.uint8]], av.VideoFrame]
    options: Mapping[str, str] = field(default_factory=dict)
    matrix: int = _BT709
    color_range: int = _LIMITED
    largest: int = 16_384
    audio: AudioEncoding = MP4_AUDIO

    @property
    def keeps_aspect_ratio(self) -> bool:
        """Whether the sample aspect ratio is stored: PyAV cannot set the one that Matroska and WebM have."""
        return self.container not in _MATROSKA

    def ticks_per_second(self, info: SourceInfo) -> int:
        """The clock of the container in which the times of the source, and if possible its frame rate, are whole
        numbers. Matroska and WebM have milliseconds only.
        """
        if self.container in _MATROSKA:
            return 1000
        times = info.time_base.denominator
        both = math.lcm(times, info.frame_rate.numerator) if info.frame_rate else times
        ticks = next((ticks for ticks in (both, times) if ticks <= _FINEST_TICK), 1_000_000)
        while ticks < 10_000:  # so that a time moved by one tick is not seen; the muxer would do the same
            ticks *= 2
        return ticks

    def container_options(self, info: SourceInfo) -> dict[str, str]:
        if self.container in _MATROSKA:
            return {"fflags": "+bitexact"}  # no random identifier: the same frames give the same file
        ticks = str(self.ticks_per_second(info))
        # The movie's own clock too: it gives how late the first frame begins, by default to 1 ms.
        return {"movie_timescale": ticks, "video_track_timescale": ticks}

    def encodable(self, width: int, height: int) -> tuple[int, int]:
        """The size (W, H) itself, or the largest of its shape that the encoder takes."""
        scale = self.largest / max(width, height)
        if scale >= 1:
            return width, height
        return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def _is_even(size: tuple[int, ...]) -> bool:
    return size[0] % 2 == size[1] % 2 == 0


def _rgb_to_yuv(pixels: NDArray[np.uint8]) -> av.VideoFrame:
    """(H, W, 3) RGB to limited-range BT.601: 4:2:0, which every player decodes, but 4:4:4 for odd sizes, for which
    H.264 has no 4:2:0.
    """
    if _is_even(pixels.shape):
        # OpenCV takes 0.3 ms for 854x480 where swscale takes 2.0.
        planes = cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420).astype(np.uint8, copy=False)
        if pixels.shape[0] % 4 == 0:  # PyAV rounds other heights down
            return av.VideoFrame.from_numpy_buffer(planes, format="yuv420p")
        # A copy: 13 ms at 3840x2160, mostly for fresh memory.
        return av.VideoFrame.from_ndarray(planes, format="yuv420p")
    image = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    return image.reformat(format="yuv444p", dst_colorspace="ITU601", dst_color_range="MPEG")


def _gray_to_yuv(pixels: NDArray[np.uint8]) -> av.VideoFrame:
    return _rgb_to_yuv(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False))


def _gray(pixels: NDArray[np.uint8]) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="gray")


def _rgba_to(pixel_format: str) -> Callable[[NDArray[np.uint8]], av.VideoFrame]:
    def convert(pixels: NDArray[np.uint8]) -> av.VideoFrame:
        image = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgba")
        # With several threads swscale writes past the last column of 10-bit images, into the rows of another thread.
        return image.reformat(format=pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG", threads=1)

    return convert


def _h264(to_frame: Callable[[NDArray[np.uint8]], av.VideoFrame]) -> VideoEncoding:
    return VideoEncoding(
        name="H.264",
        container="mp4",
        codec=lambda size: "libx264",
        # CPU time and size of an 854x480 frame: veryfast 12 ms, 18 kB; without B-frames 10.3 ms, 23 kB, 0.6 dB better,
        # and decoding times equal presentation times, so that MP4 keeps each time and duration exactly; superfast
        # 6.6 ms, 26 kB: the encoder takes its time from the network, and the file is for looking at. CAVLC saves
        # a further 0.5 ms for 7 to 11 % more bytes; ultrafast 1 ms for up to three times the bytes and 1 dB less.
        options={"preset": "superfast", "crf": "20", "bf": "0"},
        pixel_format=lambda size: "yuv420p" if _is_even(size) else "yuv444p",
        to_frame=to_frame,
        matrix=_BT601,  # because programs that ignore the tag assume it: theirs are the right colors too
    )


H264 = _h264(_rgb_to_yuv)
H264_GRAY = _h264(_gray_to_yuv)
FFV1_GRAY = VideoEncoding(
    name="FFV1",
    container="matroska",
    codec=lambda size: "ffv1",
    options={"level": "3", "slicecrc": "1"},
    pixel_format=lambda size: "gray",
    to_frame=_gray,
    color_range=_FULL,
    largest=65_535,
    audio=MATROSKA_AUDIO,
)
PRORES_4444 = VideoEncoding(
    name="ProRes",
    container="mov",
    # CPU time, size and PSNR of an 854x480 frame: 9 ms, 105 kB, 52 dB; of prores_ks: 38 ms, 135 kB, 61 dB. Both keep
    # the opacity to 1 of 255.
    codec=lambda size: "prores_ks" if size[0] % 2 else "prores_aw",  # which takes even widths only
    options={"profile": "4", "vendor": "apl0"},
    pixel_format=lambda size: "yuva444p10le",
    to_frame=_rgba_to("yuva444p10le"),
    largest=65_535,
    audio=MOV_AUDIO,
)
VP9_ALPHA = VideoEncoding(
    name="VP9",
    container="webm",
    codec=lambda size: "libvpx-vp9",
    # FFmpeg encodes the opacity as a second stream, which must have no hidden frames: auto-alt-ref 0.
    options={"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "8", "row-mt": "1", "auto-alt-ref": "0"},
    pixel_format=lambda size: "yuva420p",
    to_frame=_rgba_to("yuva420p"),
    audio=WEBM_AUDIO,
)
