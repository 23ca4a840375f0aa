"""The audio of a video file, handed on to another file packet by packet, in step with its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

# What players expect inside an MP4 file and what therefore is copied (by the names of FFmpeg's decoders); the rest,
# Vorbis, PCM, WMA and so on, becomes AAC. E-AC-3 too: the muxer reads its packets and gives up the whole file at a
# damaged one. The second group cannot be written without the header of the stream.
_COPIED = frozenset({"aac", "ac3", "mp3", "mp3float"})
_COPIED_WITH_HEADER = frozenset({"alac", "flac", "opus"})
_AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})


class SourceAudio:
    """The first audio track of a video file, on its way into an MP4 file; memory does not grow with its length.

    Damaged audio never raises: it is left out, from where it is damaged, and `notes` says so. Errors of writing do
    raise, as `av.FFmpegError`. `video_start` is when the file's pictures begin, in seconds; None where the file does
    not say.
    """

    def __init__(self, video: Path) -> None:
        self.notes: list[str] = []
        self.video_start: Fraction | None = None
        self._name = video.name
        self._source: InputContainer | None = None
        self._track: AudioStream | None = None
        self._packets: Iterator[av.Packet[AudioStream]] = iter(())
        self._next: av.Packet[AudioStream] | None = None
        self._written_seconds: float | None = None
        if not video.is_file():
            return  # a pipe, which cannot be read twice
        try:
            self._source = av.open(f"file:{video}")
        except (av.FFmpegError, OSError) as error:
            self.leave_out(error)
            return
        for pictures in self._source.streams.video[:1]:
            if pictures.start_time is not None and pictures.time_base is not None:
                self.video_start = pictures.start_time * pictures.time_base
        self._track = next(iter(self._source.streams.audio), None)

    def attach(self, output: OutputContainer, origin: Fraction | None) -> None:
        """Add a track to `output`, if there is one to add. What sounds at `origin` seconds comes to 0, and what comes
        before is left out; with None every time stays as it is.
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
        self._packets = (_copies if copied else _transcoded)(self._source, self._track, output, origin)
        self._pull()
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
        if not self.notes:
            since = "" if self._written_seconds is None else f" after {self._written_seconds:.1f} s"
            reason = getattr(error, "strerror", None) or "nothing in it can be decoded"
            self.notes.append(f"the audio of {self._name} is left out of the overlay{since}: {reason}")

    def close(self) -> None:
        self._packets, self._next = iter(()), None
        if self._source is not None:
            self._source.close()

    def _pull(self) -> None:
        try:
            self._next = next(self._packets, None)
        # The sound's layout changes on its way: ValueError; a new stream appears, which PyAV cannot take: IndexError.
        except (av.FFmpegError, ValueError, IndexError) as error:
            self.leave_out(error)


def _in_order(source: InputContainer, track: AudioStream) -> Iterator[av.Packet[AudioStream]]:
    """The packets of `track`, without those that say no time (the last one, empty, among them) and without jumps back,
    as damaged and joined streams have them and no MP4 file can.
    """
    latest: int | None = None
    for packet in source.demux(track):
        if packet.pts is not None and packet.dts is not None and (latest is None or packet.dts > latest):
            latest = packet.dts
            yield packet


def _copies(
    source: InputContainer, track: AudioStream, output: OutputContainer, origin: Fraction | None
) -> Iterator[av.Packet[AudioStream]]:
    """The packets of `track` as they are, at the times of the output; the output's track is made with the first."""
    copy: AudioStream | None = None
    for packet in _in_order(source, track):
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
    source: InputContainer, track: AudioStream, output: OutputContainer, origin: Fraction | None
) -> Iterator[av.Packet[AudioStream]]:
    """The sound of `track` as AAC, at the times of the output. Packets that cannot be decoded are passed over."""
    encoder: AudioStream | None = None
    for packet in _in_order(source, track):
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
                layout = "mono" if sound.layout.nb_channels == 1 else "stereo"
                encoder = output.add_stream("aac", rate=rate, layout=layout)
            yield from encoder.encode(sound)
    if encoder is not None:
        yield from encoder.encode(None)


def _begin(packet: av.Packet[AudioStream]) -> Fraction:
    assert packet.pts is not None
    assert packet.time_base is not None
    return packet.pts * packet.time_base
