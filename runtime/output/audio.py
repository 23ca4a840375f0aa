"""One audio track of a video file, copied or encoded into another file packet by packet, in step with the frames."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from ..errors import InputError
from ..video.joined_files import recordings
from ..video.network import file_name, is_url
from ..video.video_stream import open_container, tag_text
from .audio_encoding import MP4_AUDIO, AudioEncoding
from .audio_packets import in_order, packets_in_step, packets_of_recordings

_MOST_DAMAGED = 50  # packets in a row, 1 s of AAC: more is sound that the file cannot hold


class SourceAudio:
    """One audio track of a video file or URL, on its way into another file; memory does not grow with its length.

    Damaged audio never raises: it is left out, and `notes` tells it. Errors of writing do raise, as `av.FFmpegError`.
    `track` is the index of the track in the source, `video` that of the video stream, whose clock decides where the
    times jump. The notes name the `output`, and `encoding` is how it stores audio.
    """

    def __init__(
        self, address: str, track: int, video: int, output: str = "overlay", encoding: AudioEncoding = MP4_AUDIO
    ) -> None:
        self._notes: list[str] = []
        self._address, self._name, self._output = address, file_name(address), output
        self._encoding = encoding
        self._source: InputContainer | None = None
        self._track: AudioStream | None = None
        self._video: VideoStream | None = None
        self._packets: Iterator[av.Packet[AudioStream]] = iter(())
        self._next: av.Packet[AudioStream] | None = None
        self._written_seconds: float | None = None
        self._left_out = False
        self._damaged = self._damaged_in_a_row = 0  # packets
        try:
            self._source = open_container(address)
            self._recordings = [(0, 0)] if is_url(address) else recordings(Path(address), self._source.format.name)
            if len(self._recordings) > 1:
                self._source.close()
                self._source = open_container(address, part=self._recordings[0])
            self._track = next(stream for stream in self._source.streams.audio if stream.index == track)
            self._video = next(stream for stream in self._source.streams.video if stream.index == video)
        except (InputError, StopIteration) as error:
            self.leave_out(error)

    @property
    def notes(self) -> list[str]:
        """A sentence for everything of it that the output lacks so far."""
        if self._damaged == 0 or self._left_out:
            return self._notes
        packets = "1 damaged packet" if self._damaged == 1 else f"{self._damaged} damaged packets"
        return [*self._notes, f"the audio of {self._name} lacks {packets} in the {self._output}"]

    def attach(self, output: OutputContainer, origin: Fraction | None) -> None:
        """Add the track to `output`, with its language and title. What sounds at `origin` seconds comes to 0, and what
        comes before is left out; with None every time stays as it is.
        """
        if self._source is None or self._track is None:
            return
        # AttributeError: PyAV gives a track that it has no decoder for no codec context.
        try:
            copied = self._encoding.copies(self._track)
        except AttributeError as error:
            self.leave_out(error)
            return
        packets = self._source_packets(self._source, self._track)
        if copied:
            self._packets = _copies(packets, self._track, output, origin)
        else:
            self._packets = _transcoded(packets, output, origin, self._encoding)
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
                self._written_seconds, self._damaged_in_a_row = float(begin), 0
            except ValueError as error:  # of FFmpeg: a packet that the file cannot hold
                self._damaged_in_a_row += 1
                if not isinstance(error, av.error.InvalidDataError) or self._damaged_in_a_row > _MOST_DAMAGED:
                    self.leave_out(error)
                    return
                self._damaged += 1
            self._pull()

    def leave_out(self, error: Exception | None = None) -> None:
        """Write no more of it, and note why; the first reason counts."""
        self._packets, self._next = iter(()), None
        if not self._left_out:
            self._left_out = True
            since = "" if self._written_seconds is None else f" after {self._written_seconds:.1f} s"
            reason = getattr(error, "strerror", None) or "nothing in it can be decoded"
            reason = str(error) if isinstance(error, InputError) else reason
            self._notes.append(f"the audio of {self._name} is left out of the {self._output}{since}: {reason}")

    def close(self) -> None:
        self._packets, self._next = iter(()), None
        if self._source is not None:
            self._source.close()

    def _source_packets(self, source: InputContainer, track: AudioStream) -> Iterator[av.Packet[AudioStream]]:
        if self._video is None:
            return in_order(source.demux(track))
        if len(self._recordings) == 1:
            return in_order(packets_in_step(source, track, self._video))
        later = (open_container(self._address, part=part) for part in self._recordings[1:])
        return in_order(packets_of_recordings(chain([source], later), track, self._video))

    def _note_layout(self) -> None:
        assert self._track is not None
        channels = self._track.codec_context.layout.nb_channels
        if channels not in self._encoding.layouts:
            self._notes.append(f"the {channels} audio channels of {self._name} become stereo in the {self._output}")

    def _pull(self) -> None:
        try:
            self._next = next(self._packets, None)
        # The sound's layout changes on its way: ValueError; a new stream appears, which PyAV cannot take: IndexError.
        except (av.FFmpegError, ValueError, IndexError, InputError) as error:
            self.leave_out(error)


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
    packets: Iterator[av.Packet[AudioStream]],
    output: OutputContainer,
    origin: Fraction | None,
    encoding: AudioEncoding,
) -> Iterator[av.Packet[AudioStream]]:
    """The sound of `packets`, encoded, at the times of the output. Packets that cannot be decoded are passed over."""
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
                rate = sound.sample_rate if sound.sample_rate in encoding.rates else 48_000
                layout = encoding.layouts.get(sound.layout.nb_channels, "stereo")
                encoder = cast(AudioStream, output.add_stream(encoding.codec, rate=rate, layout=layout))
            yield from encoder.encode(sound)
    if encoder is not None:
        yield from encoder.encode(None)


def _begin(packet: av.Packet[AudioStream]) -> Fraction:
    assert packet.pts is not None
    assert packet.time_base is not None
    return packet.pts * packet.time_base
