"""One audio track of a video file, copied or encoded into another file packet by packet, in step with the frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from ..errors import InputError
from ..video.timestamps import ClockJumps
from ..video.video_stream import FALLBACK_RATE, frame_rate, open_container, tag_text

# What players expect inside an MP4 file and what therefore is copied (by the names of FFmpeg's decoders); the rest,
# Vorbis, PCM, WMA and so on, becomes AAC. E-AC-3 too: the muxer reads its packets and gives up the whole file at a
# damaged one. The second group cannot be written without the header of the stream.
_COPIED = frozenset({"aac", "ac3", "mp3", "mp3float"})
_COPIED_WITH_HEADER = frozenset({"alac", "flac", "opus"})
_AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})


# Channel layouts of FFmpeg's AAC encoder, by the number of channels.
_AAC_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_MOST_HELD = 2000  # packets: 40 s of AAC


class SourceAudio:
    """One audio track of a video file, on its way into an MP4 file; memory does not grow with its length.

    Damaged audio never raises: it is left out, from where it is damaged, and `notes` tells it. Errors of writing do
    raise, as `av.FFmpegError`. `track` is the index of the track in the file, `video` that of the video stream, whose
    clock decides where the times jump. The notes name the `output`.
    """

    def __init__(self, path: Path, track: int, video: int, output: str = "overlay") -> None:
        self.notes: list[str] = []
        self._name, self._output = path.name, output
        self._source: InputContainer | None = None
        self._track: AudioStream | None = None
        self._video: VideoStream | None = None
        self._packets: Iterator[av.Packet[AudioStream]] = iter(())
        self._next: av.Packet[AudioStream] | None = None
        self._written_seconds: float | None = None
        self._left_out = False
        try:
            self._source = open_container(str(path))
            self._track = next(stream for stream in self._source.streams.audio if stream.index == track)
            self._video = next(stream for stream in self._source.streams.video if stream.index == video)
        except (InputError, StopIteration) as error:
            self.leave_out(error)

    def attach(self, output: OutputContainer, origin: Fraction | None) -> None:
        """Add the track to `output`, with its language and title. What sounds at `origin` seconds comes to 0, and what
        comes before is left out; with None every time stays as it is.
        """
        if self._source is None or self._track is None:
            return
        # AttributeError: PyAV gives a track that it has no decoder for no codec context.
        try:
            codec = self._track.codec_context
            copied = codec.name in _COPIED or (codec.name in _COPIED_WITH_HEADER and bool(codec.extradata))
        except AttributeError as error:
            self.leave_out(error)
            return
        packets = _in_order(self._source, self._track, self._video)
        if copied:
            self._packets = _copies(packets, self._track, output, origin)
        else:
            self._packets = _transcoded(packets, output, origin)
            self._note_layout()
        self._pull()
        if self._next is not None:
            kept = {key: tag_text(value) for key, value in self._track.metadata.items() if key in ("language", "title")}
            self._next.stream.metadata.update(kept)
        if self._next is None:
            self.leave_out()

    def advance(self, output: OutputContainer, until: Fraction) -> None:
        """Write what begins before `until` (seconds of the output)."""
        while self._next is not None and (begin := _begin(self._next)) < until:
            try:
                output.mux(self._next)
            except ValueError as error:  # of FFmpeg: a packet that MP4 cannot hold
                self.leave_out(error)
                return
            self._written_seconds = float(begin)
            self._pull()

    def leave_out(self, error: Exception | None = None) -> None:
        """Write no more of it, and note why; the first reason counts."""
        self._packets, self._next = iter(()), None
        if not self._left_out:
            self._left_out = True
            since = "" if self._written_seconds is None else f" after {self._written_seconds:.1f} s"
            reason = getattr(error, "strerror", None) or "nothing in it can be decoded"
            self.notes.append(f"the audio of {self._name} is left out of the {self._output}{since}: {reason}")

    def close(self) -> None:
        self._packets, self._next = iter(()), None
        if self._source is not None:
            self._source.close()

    def _note_layout(self) -> None:
        assert self._track is not None
        channels = self._track.codec_context.layout.nb_channels
        if channels not in _AAC_LAYOUTS:
            self.notes.append(f"the {channels} audio channels of {self._name} become stereo in the {self._output}")

    def _pull(self) -> None:
        try:
            self._next = next(self._packets, None)
        # The sound's layout changes on its way: ValueError; a new stream appears, which PyAV cannot take: IndexError.
        except (av.FFmpegError, ValueError, IndexError) as error:
            self.leave_out(error)


def _in_order(
    source: InputContainer, track: AudioStream, video: VideoStream | None
) -> Iterator[av.Packet[AudioStream]]:
    """The packets of `track`, without those that have no time (the last one, empty, among them) and without jumps back,
    as damaged and joined streams have them and no MP4 file can.
    """
    clock = None
    if video is not None:
        clock = ClockJumps.of(source, video.time_base or Fraction(1, 1000), frame_rate(video) or FALLBACK_RATE)
    latest: int | None = None
    for packet in source.demux(track) if video is None or clock is None else _joined(source, track, video, clock):
        if packet.pts is not None and packet.dts is not None and (latest is None or packet.dts > latest):
            latest = packet.dts
            yield packet


def _joined(
    source: InputContainer, track: AudioStream, video: VideoStream, clock: ClockJumps
) -> Iterator[av.Packet[AudioStream]]:
    """The packets of `track`, with the jumps of the clock closed as they are in the video.

    The n-th jump in the sound is the n-th in the video; sound that comes before its video in the file is held back.
    """
    held: deque[tuple[av.Packet[AudioStream], int]] = deque()  # with the number of jumps before it
    detector = clock.detector(track.time_base or Fraction(1, 1000))
    jumps = 0

    def ready(most: int) -> Iterator[av.Packet[AudioStream]]:
        while held and (held[0][1] < len(clock.shifts) or len(held) > most):
            packet, piece = held.popleft()
            assert packet.pts is not None
            assert packet.dts is not None
            shift = round(clock.shifts[min(piece, len(clock.shifts) - 1)] / packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            yield packet

    both: Iterator[av.Packet[Any]] = source.demux(video, track)
    for packet in both:
        if packet.stream.index == video.index:
            clock.place(packet)
        elif packet.pts is not None and packet.dts is not None:
            jumps += detector.is_jump(packet)
            held.append((packet, jumps))
        yield from ready(_MOST_HELD)
    yield from ready(0)


def _copies(
    packets: Iterator[av.Packet[AudioStream]], track: AudioStream, output: OutputContainer, origin: Fraction | None
) -> Iterator[av.Packet[AudioStream]]:
    """The packets of `track` as they are, at the times of the output; the output's track is made with the first."""
    copy: AudioStream | None = None
    for packet in packets:
        if origin is not None and packet.pts is not None and packet.dts is not None and packet.time_base is not None:
            shift = round(origin / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if packet.pts + (packet.duration or 1) <= 0:
                continue
        if copy is None:
            copy = output.add_stream_from_template(track)
        packet.stream = copy
        yield packet


def _transcoded(
    packets: Iterator[av.Packet[AudioStream]], output: OutputContainer, origin: Fraction | None
) -> Iterator[av.Packet[AudioStream]]:
    """The sound of `packets` as AAC, at the times of the output. Packets that cannot be decoded are passed over."""
    encoder: AudioStream | None = None
    for packet in packets:
        try:
            sounds = packet.decode()
        except av.error.InvalidDataError:
            continue  # a broadcast often begins in the middle of a packet
        for sound in sounds:
            if sound.pts is None or sound.time_base is None:
                continue
            if origin is not None:
                sound.pts -= round(origin / sound.time_base)
                if (sound.pts * sound.time_base) + Fraction(sound.samples, sound.sample_rate) <= 0:
                    continue
            if encoder is None:
                rate = sound.sample_rate if sound.sample_rate in _AAC_RATES else 48_000
                layout = _AAC_LAYOUTS.get(sound.layout.nb_channels, "stereo")
                encoder = output.add_stream("aac", rate=rate, layout=layout)
            yield from encoder.encode(sound)
    if encoder is not None:
        yield from encoder.encode(None)


def _begin(packet: av.Packet[AudioStream]) -> Fraction:
    assert packet.pts is not None
    assert packet.time_base is not None
    return packet.pts * packet.time_base
