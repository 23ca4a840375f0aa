"""The packets of an audio track, at times in step with the frames where a file is joined of several recordings."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from ..errors import InputError
from ..video.timestamps import ClockJumps
from ..video.video_stream import FALLBACK_RATE, frame_rate

_MOST_HELD = 2000  # packets: 40 s of AAC


def in_order(packets: Iterable[av.Packet[AudioStream]]) -> Iterator[av.Packet[AudioStream]]:
    """Without those that have no time (the last one, empty, among them) and without jumps back, as damaged and joined
    streams have them and no output can.
    """
    latest: Fraction | None = None
    for packet in packets:
        if packet.pts is not None and packet.dts is not None:
            time = packet.dts * packet.time_base
            if latest is None or time > latest:
                latest = time
                yield packet


def packets_in_step(source: InputContainer, track: AudioStream, video: VideoStream) -> Iterator[av.Packet[AudioStream]]:
    """The packets of `track`, with the jumps of the clock closed as they are in `video`.

    The n-th jump in the sound is the n-th in the video; sound that comes before its video in the file is held back.
    """
    clock = ClockJumps.of(source, video.time_base or Fraction(1, 1000), frame_rate(video) or FALLBACK_RATE)
    if clock is None:
        yield from source.demux(track)
        return
    held: deque[tuple[av.Packet[AudioStream], int]] = deque()  # with the number of jumps before it
    last_dts: int | None = None
    jumps = 0

    def ready(most: int) -> Iterator[av.Packet[AudioStream]]:
        while held and (held[0][1] < len(clock.shifts) or len(held) > most):
            packet, piece = held.popleft()
            yield _later(packet, clock.shifts[min(piece, len(clock.shifts) - 1)])

    both: Iterator[av.Packet[Any]] = source.demux(video, track)
    for packet in both:
        if packet.stream.index == video.index:
            clock.place(packet)
        elif packet.pts is not None and packet.dts is not None:
            jumps += clock.is_jump(last_dts, packet.dts, packet.time_base)
            last_dts = packet.dts
            held.append((packet, jumps))
        yield from ready(_MOST_HELD)
    yield from ready(0)


def packets_of_recordings(
    sources: Iterable[InputContainer], track: AudioStream, video: VideoStream
) -> Iterator[av.Packet[AudioStream]]:
    """The packets of `track` in the recordings of a joined file, each of which begins where the video of the one before
    it ends. Raises InputError where a recording has another kind of sound.
    """
    end_seconds: Fraction | None = None  # of the video so far
    kind, track_index, video_index = _kind(track), track.index, video.index  # gone when the first source is closed
    for source in sources:
        with source:
            streams = {stream.index: stream for stream in source.streams}
            frames, sound = streams.get(video_index), streams.get(track_index)
            if frames is None or not isinstance(sound, AudioStream) or _kind(sound) != kind:
                raise InputError("a further recording in the file has another kind of sound")
            begin_seconds = (frames.start_time or 0) * (frames.time_base or Fraction(1, 1000))
            shift = Fraction(0) if end_seconds is None else end_seconds - begin_seconds
            both: Iterator[av.Packet[Any]] = source.demux(frames, sound)
            for packet in both:
                if packet.pts is None or packet.dts is None:
                    continue
                if packet.stream.index == frames.index:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base + shift
                    end_seconds = end if end_seconds is None else max(end_seconds, end)
                else:
                    yield _later(packet, shift)


def _kind(track: AudioStream) -> tuple[object, ...]:
    codec = track.codec_context
    return codec.name, codec.sample_rate, codec.layout.nb_channels, codec.extradata


def _later(packet: av.Packet[AudioStream], seconds: Fraction) -> av.Packet[AudioStream]:
    shift = round(seconds / packet.time_base)
    assert packet.pts is not None
    assert packet.dts is not None
    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
    return packet
