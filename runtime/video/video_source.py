"""Video files and streams, decoded through PyAV one frame at a time."""

from __future__ import annotations

import functools
import re
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ..errors import InputError
from ..frame import SourceInfo
from .mp4_header import codec_code, encryption_scheme
from .orientation import Orientation
from .timestamps import FrameTimes
from .undecoded_frame import UndecodedFrame

EXPECTED = "expected a video such as mp4, mkv, webm, mov or avi, a folder of pictures, or '-' for y4m"
NETWORK_TIMEOUT_S = 30.0
FALLBACK_RATE = Fraction(25)


class VideoSource:
    """The video stream of a file or URL `name`, or of the y4m stream `y4m`, decoded as far as it can be.

    Frames come in order of presentation, upright: the rotation (and mirroring) that the file asks for is applied. The
    sample aspect ratio is not: a mask has the pixels of the video. Colors are converted with the matrix and range
    that the stream names, BT.601 in limited range where it names none, to full-range RGB; more than 8 bits and HDR
    are cut to 8 bits without tone mapping. A frame has the size that it has in the stream at that place.

    Timestamps stay exact in `info.time_base`, however irregular; those that are missing or do not rise are mended as
    `FrameTimes` says. Packets that cannot be decoded are passed over and counted in `truncated`.

    Decoding takes 0.7 ms a frame at 768x432 and 3.1 ms at 1280x720 (H.264, two cores, `thread_type` AUTO; 3.8 ms with
    one thread, for 20 % less work in all), the conversion to RGB a further 0.2 and 1.2 ms.

    Raises InputError on opening if there is no video stream, no decoder for it, or not one frame that decodes.
    """

    def __init__(self, name: str, y4m: BinaryIO | None = None) -> None:
        self._name = name
        self._container = _open(name, y4m)
        try:
            self._stream = _video_stream(name, self._container)
            self._stream.thread_type = "AUTO"
            self.info = self._describe(None if y4m else Path(name))
            self._times = FrameTimes(self.info.time_base, self.info.frame_rate or FALLBACK_RATE)
            self._reformatter = VideoReformatter()  # one for all: frame.to_ndarray makes a scaler for every frame
            self._orientation: Orientation | None = None
            self._read = self._failed = self._damaged = 0
            self._read_before_fault: int | None = None
            self._end_pts: int | None = None
            self._finished = False
            self._decoded = self._decode()
            self._first = next(self._decoded, None)
            if self._first is None:
                raise InputError(f"{name}: {self._why_nothing_decodes()}")
        except BaseException:
            self._container.close()
            raise

    def frames(self) -> Iterator[UndecodedFrame]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        yield from self._decoded

    def close(self) -> None:
        self._decoded.close()
        self._container.close()

    @property
    def truncated(self) -> str | None:
        whole = self._declared_frames
        of_all = f" of {whole}" if whole is not None and whole > self._read else ""
        if self._read_before_fault is not None:
            return (
                f"{self._name}: damaged after {_count(self._read_before_fault, 'frame')} "
                f"({_count(self._failed, 'packet')} undecodable, {_count(self._damaged, 'frame')} with faults); "
                f"{_count(self._read, 'frame')}{of_all} read"
            )
        if self._finished and self._ends_early():
            return f"{self._name}: cut short: it ends after {_count(self._read, 'frame')}{of_all}"
        return None

    def _describe(self, path: Path | None) -> SourceInfo:
        stream = self._stream
        time_base = stream.time_base or Fraction(1, 1000)
        self._declared_frames, self._declared_end_seconds = None, _seconds_in_tag(stream.metadata.get("DURATION"))
        if stream.frames and stream.duration and stream.average_rate:
            # An edit list can hide frames: they are in the count, but not in the duration.
            shown = round(stream.duration * time_base * stream.average_rate)
            self._declared_frames = min(stream.frames, max(1, shown))
            self._declared_end_seconds = ((stream.start_time or 0) + stream.duration) * time_base
        return SourceInfo(
            name=self._name,
            time_base=time_base,
            frame_rate=_frame_rate(stream),
            expected_frames=self._declared_frames,
            video=path if path is not None and path.is_file() else None,
        )

    def _decode(self) -> Generator[UndecodedFrame, None, None]:
        """Every frame that decodes. An error in a packet costs that packet; one in the container ends the video."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except FFmpegError:
                self._note_fault()
                break
            if packet.size:  # AVI stores a dropped frame as an empty packet, which a decoder takes for the end
                yield from self._decode_packet(packet)
        yield from self._decode_packet(None)
        self._finished = True

    def _decode_packet(self, packet: av.Packet[av.VideoStream] | None) -> Iterator[UndecodedFrame]:
        try:
            frames = self._stream.codec_context.decode(packet)
        except FFmpegError:
            self._failed += 1
            self._note_fault()
            return
        for frame in frames:
            if frame.is_corrupt:
                self._damaged += 1
                self._note_fault()
            self._read += 1
            pts = self._times.place(frame.pts if frame.pts is not None else frame.dts)
            self._end_pts = pts + (frame.duration or self._times.step)
            yield UndecodedFrame(pts=pts, to_rgb=functools.partial(self._to_rgb, frame))

    def _note_fault(self) -> None:
        if self._read_before_fault is None:
            self._read_before_fault = self._read

    def _ends_early(self) -> bool:
        if self._end_pts is None or self._declared_end_seconds is None:
            return False
        if self._declared_frames is not None and self._read >= self._declared_frames:
            return False
        half_a_frame = Fraction(self._times.step, 2)
        return (self._end_pts + half_a_frame) * self.info.time_base < self._declared_end_seconds

    def _to_rgb(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        try:
            rgb = self._reformatter.reformat(frame, format="rgb24")
        except (FFmpegError, OSError) as error:
            raise InputError(
                f"{self._name}: {frame.format.name} pictures with color matrix {frame.colorspace} cannot be converted "
                f"to RGB ({error.strerror}); encode the video anew in BT.709"
            ) from error
        if self._orientation is None or self._orientation.rotation != frame.rotation:
            # Not for every frame: one whose side data was looked at waits for the garbage collector (PyAV makes a
            # cycle of references), which let memory grow by 75 MiB at 640x480.
            self._orientation = Orientation.of(frame)
        return np.ascontiguousarray(self._orientation.apply(np.asarray(rgb.to_ndarray(), np.uint8)))

    def _why_nothing_decodes(self) -> str:
        path = self.info.video
        scheme = encryption_scheme(path) if path else None
        if scheme:
            return f"the video is encrypted ({scheme}); expected one without DRM: decrypt it first"
        codec = self._stream.codec_context.name
        if self._read_before_fault is None:
            return f"its header announces {codec} video, but it has no frame of it; {EXPECTED}"
        return f"no frame of its {codec} video could be decoded: damaged or encrypted; {EXPECTED}"


def _open(name: str, y4m: BinaryIO | None) -> av.container.InputContainer:
    try:
        if y4m is not None:
            return av.open(y4m, "r", format="yuv4mpegpipe")
        return av.open(name, "r", timeout=NETWORK_TIMEOUT_S if "://" in name else None)
    except (FFmpegError, OSError, ValueError) as error:
        if y4m is not None:
            raise InputError(
                "standard input: what came is not a y4m stream; pipe one in: ffmpeg -i clip.mp4 -f yuv4mpegpipe - | …"
            ) from error
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{name}: the video cannot be opened ({reason}); {EXPECTED}") from error


def _video_stream(name: str, container: av.container.InputContainer) -> av.VideoStream:
    # A cover picture of a song is a video stream to the demuxer, but no video.
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        kinds = " and ".join(sorted({stream.type for stream in container.streams if stream.type != "video"}))
        raise InputError(f"{name}: there is no video in it, only {kinds or 'an empty container'}; {EXPECTED}")
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        codec = codec_code(Path(name)) or "of an unknown name"
        raise InputError(
            f"{name}: the video's codec {codec} is not supported by the FFmpeg inside PyAV; encode it anew, "
            "e.g. with H.264: ffmpeg -i … -c:v libx264 clip.mp4"
        )
    return decodable[0]


def _frame_rate(stream: av.VideoStream) -> Fraction | None:
    """The nominal rate. FFmpeg's guess is the better one (30000/1001 where the mean of a short clip is 72000/2401; a
    raw stream has no mean at all, only a default of 25), but with a variable rate it is the clock's tick."""
    mean, guess = stream.average_rate, stream.guessed_rate
    if not mean:
        return None
    has_times = stream.start_time is not None
    return mean if not guess or (has_times and guess > mean * Fraction(3, 2)) else guess


def _seconds_in_tag(tag: str | None) -> Fraction | None:
    """Matroska's DURATION, "00:00:10.333000000"."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", tag or "")
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
