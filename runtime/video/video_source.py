"""Video files and streams, decoded through PyAV one frame at a time."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
from av.error import FFmpegError

from ..errors import InputError
from ..frame import SourceInfo
from .container_end import ends_inside_unit
from .deinterlace import Deinterlacer
from .joined_files import recordings
from .network import is_live, is_url, is_web_file, public_name
from .network_faults import NetworkFaults
from .timestamps import ClockJumps, CodingOrder, FrameTimes
from .to_rgb import ToRgb
from .undecoded_frame import UndecodedFrame
from .unreadable import require_readable, why_nothing_decodes
from .video_stream import FALLBACK_RATE, choose_stream, frame_rate, is_animated_avif, open_container, seconds_in_tag
from .y4m import Y4mPipe

_ANIMATIONS = frozenset({"gif", "apng"})  # each frame has a delay of its own, the last one too


class VideoSource:
    """A video stream of a file or URL `name`, or of the y4m stream `y4m`, decoded as far as it can be.

    Frames come in order of presentation, upright: the rotation (and mirroring) that the file asks for is applied. The
    sample aspect ratio is not: a mask has the pixels of the video. Colors become full-range 8-bit SDR RGB as `ToRgb`
    converts them. A frame has the size that it has in the stream at that place.

    Timestamps stay exact in `info.time_base`, however irregular; those that are missing or do not rise are mended by
    `FrameTimes`, `CodingOrder` and `ClockJumps`. Packets that cannot be decoded are passed over and counted in
    `truncated`. `video_stream` is the place of the stream among the video streams, None for the best one;
    `deinterlace` is a mode of `Deinterlacer`.

    Decoding takes 0.7 ms a frame at 768x432 and 3.1 ms at 1280x720 (H.264, two cores, `thread_type` AUTO; 3.8 ms with
    one thread, for 20 % less work in all), the conversion to RGB a further 0.2 and 1.2 ms.

    Raises InputError on opening if there is no video stream, no decoder for it, or not one frame that decodes.
    """

    def __init__(
        self, name: str, y4m: BinaryIO | None = None, *, video_stream: int | None = None, deinterlace: str = "auto"
    ) -> None:
        self._address, self._name = name, public_name(name)
        self._pipe = Y4mPipe(y4m) if y4m is not None else None
        if y4m is None:
            require_readable(self._name, Path(name))
        self._container = open_container(name, self._pipe)
        self._network = NetworkFaults()
        self._number = video_stream
        try:
            path = Path(name) if y4m is None and Path(name).is_file() else None
            self._recordings = recordings(path, self._container.format.name) if path else [(0, 0)]
            self._recording = 0  # the one that is read
            if len(self._recordings) > 1:
                self._container.close()
                self._container = open_container(name, part=self._recordings[0])
            self._stream, self._stream_note = choose_stream(self._name, self._container, video_stream)
            self._stream.thread_type = "AUTO"
            self.info = self._describe(path)
            self._loses_sound = is_url(name) and self.info.url is None and len(self._container.streams.audio) > 0
            time_base, rate = self.info.time_base, self.info.frame_rate or FALLBACK_RATE
            self._times = FrameTimes(time_base, rate)
            self._coding_order = CodingOrder() if self._container.format.name == "avi" else None
            self._clock = ClockJumps.of(self._container, time_base, rate)
            self._is_animation = self._container.format.name in _ANIMATIONS or is_animated_avif(self._container)
            self._deinterlacer = Deinterlacer(deinterlace)
            self._to_rgb = ToRgb(name, self._stream.codec_context)
            self._color_note: str | None = None  # of the containers before the present one
            self._ticks = Fraction(1)  # of `info.time_base` in one of the present stream
            self._read = self._failed = self._damaged = 0
            self._read_before_fault: int | None = None
            self._end_pts: int | None = None
            self._finished = self._turned = False
            self._ratios: set[Fraction] = set()  # sample aspect ratios of the stream
            self._decoded = self._decode()
            self._first = next(self._decoded, None)
            if self._first is None:
                codec, damaged = self._stream.codec_context.name, self._read_before_fault is not None
                raise InputError(f"{self._name}: {why_nothing_decodes(self.info.video, codec, damaged=damaged)}")
            if self._turned and self.info.sample_aspect_ratio != 1:
                ratio = 1 / self.info.sample_aspect_ratio
                self.info = dataclasses.replace(self.info, sample_aspect_ratio=ratio)
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
        if self._network.ended_by is not None:
            lost = f"the connection was lost after {_count(self._read, 'frame')}{of_all}"
            return f"{self._name}: {lost}: {self._network.ended_by}"
        if self._finished and (self._ends_early() or self._ends_inside_unit):
            return f"{self._name}: cut short: it ends after {_count(self._read, 'frame')}{of_all}"
        return None

    @property
    def notes(self) -> list[str]:
        notes = [note for note in (self._stream_note, self._color_note or self._to_rgb.note) if note is not None]
        if len(self._recordings) > 1:
            count = len(self._recordings)
            notes.append(f"{self._name}: {count} recordings, joined byte by byte, are read one after the other")
        if self._deinterlacer.seen:
            how = "kept as they are stored" if self._deinterlacer.mode == "no" else "deinterlaced by bwdif"
            notes.append(f"{self._name}: the video is interlaced; its frames are {how} (--deinterlace auto|yes|no)")
        jumps = self._times.jumps + (len(self._clock.shifts) - 1 if self._clock else 0)
        if self._network.opened_again:
            times = _count(self._network.opened_again, "time")
            notes.append(f"{self._name}: the connection was opened again {times}; the frames in between are missing")
        if len(self._ratios) > 1:
            ratios = ", ".join(f"{ratio.numerator}:{ratio.denominator}" for ratio in sorted(self._ratios))
            notes.append(f"{self._name}: the shape of the pixels changes ({ratios}); that of the first frame is kept")
        if self._loses_sound:
            notes.append(f"{self._name}: the sound of a live stream is not kept")
        if jumps:
            notes.append(f"{self._name}: the clock jumps {_count(jumps, 'time')}; the pieces are joined without a gap")
        if self._times.moved:
            late = _count(self._times.moved, "frame")
            notes.append(f"{self._name}: {late} with the time of an earlier one; shown right after the frame before")
        return notes

    def _describe(self, path: Path | None) -> SourceInfo:
        stream = self._stream
        time_base = stream.time_base or Fraction(1, 1000)
        self._declared_frames, self._declared_end_seconds = None, seconds_in_tag(stream.metadata.get("DURATION"))
        if len(self._recordings) > 1:
            self._declared_end_seconds = None
        elif stream.frames and stream.duration and stream.average_rate:
            # An edit list can hide frames: they are in the count, but not in the duration.
            shown = round(stream.duration * time_base * stream.average_rate)
            self._declared_frames = min(stream.frames, max(1, shown))
            self._declared_end_seconds = ((stream.start_time or 0) + stream.duration) * time_base
        return SourceInfo(
            name=self._name,
            time_base=time_base,
            frame_rate=frame_rate(stream),
            expected_frames=self._declared_frames,
            video=path,
            url=self._address if is_web_file(self._address) and self._container.duration is not None else None,
            video_stream=stream.index,
            sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        )

    def _decode(self) -> Generator[UndecodedFrame, None, None]:
        """Every frame that decodes. An error in a packet costs that packet; one in the container ends the video."""
        opened = True
        while opened:
            packets = self._container.demux(self._stream)
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    break
                except FFmpegError as error:
                    self._note_container_fault(error)
                    break
                if packet.size:  # AVI stores a dropped frame as an empty packet, which a decoder takes for the end
                    yield from self._decode_packet(packet)
            yield from self._decode_packet(None)
            opened = self._open_next_recording() or self._open_again()
        for pts, frame in self._deinterlacer.end():
            yield UndecodedFrame(pts=pts, to_rgb=functools.partial(self._to_rgb, frame))
        self._finished = True

    def _decode_packet(self, packet: av.Packet[av.VideoStream] | None) -> Iterator[UndecodedFrame]:
        if packet is not None and self._clock is not None:
            self._clock.place(packet)
        if packet is not None and self._coding_order is not None:
            self._coding_order.add(packet.dts)
        try:
            frames = self._stream.codec_context.decode(packet)
        except FFmpegError:
            if packet is not None and self._coding_order is not None:
                self._coding_order.remove_latest()
            self._failed += 1
            self._note_fault()
            return
        for frame in frames:
            if frame.is_corrupt:
                self._damaged += 1
                self._note_fault()
            if self._stream.codec_context.sample_aspect_ratio:
                self._ratios.add(self._stream.codec_context.sample_aspect_ratio)
            if self._read == 0:
                self._turned = frame.rotation % 180 != 0
            self._read += 1
            time = frame.pts if frame.pts is not None else frame.dts
            if self._coding_order is not None:
                time = self._coding_order.next(frame.dts)
            pts = self._times.place(None if time is None else round(time * self._ticks))
            duration = round(frame.duration * self._ticks) or self._times.step
            self._end_pts = pts + duration
            own_duration = duration if self._is_animation else None
            for ready_pts, ready in self._deinterlacer.put(pts, frame):
                to_rgb = functools.partial(self._to_rgb, ready)
                yield UndecodedFrame(pts=ready_pts, to_rgb=to_rgb, duration=own_duration)

    def _note_fault(self) -> None:
        if self._read_before_fault is None:
            self._read_before_fault = self._read

    def _note_container_fault(self, error: FFmpegError) -> None:
        if is_url(self._address):
            self._network.lost(error)
        else:
            self._note_fault()

    def _open_again(self) -> bool:
        """Open a live stream that broke off again; whether that succeeded."""
        if not is_live(self._address) or self._container.duration is not None:
            return False
        container = self._network.open_again(self._address, self._read)
        if container is not None:
            self._replace(container)
        return container is not None

    def _open_next_recording(self) -> bool:
        """Open the next part of a joined file that has a video; whether there is one."""
        while self._recording + 1 < len(self._recordings):
            self._recording += 1
            try:
                self._replace(open_container(self._address, part=self._recordings[self._recording]))
            except InputError:
                self._note_fault()
            else:
                self._times.begin_recording()
                return True
        return False

    def _replace(self, container: av.container.InputContainer) -> None:
        """Go on with the video of `container`. Raises InputError if it has none."""
        self._container.close()
        self._container = container
        self._stream, _ = choose_stream(self._name, container, self._number)
        self._stream.thread_type = "AUTO"
        self._ticks = (self._stream.time_base or self.info.time_base) / self.info.time_base
        self._color_note = self._color_note or self._to_rgb.note
        self._to_rgb = ToRgb(self._name, self._stream.codec_context)

    def _ends_early(self) -> bool:
        if self._end_pts is None or self._declared_end_seconds is None:
            return False
        if self._declared_frames is not None and self._read >= self._declared_frames:
            return False
        half_a_frame = Fraction(self._times.step, 2)
        return (self._end_pts + half_a_frame) * self.info.time_base < self._declared_end_seconds

    @functools.cached_property
    def _ends_inside_unit(self) -> bool:
        if self._pipe is not None:
            return self._pipe.ends_inside_frame()
        return self.info.video is not None and ends_inside_unit(self.info.video, self._container.format.name)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
