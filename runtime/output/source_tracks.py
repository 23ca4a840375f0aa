"""Parts of the source video that an output video keeps besides the frames: audio tracks, their clock, and tags."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

from av.container import InputContainer

from ..errors import InputError
from ..frame import SourceInfo
from ..video.network import file_name
from ..video.timestamps import has_clock_jumps
from ..video.video_stream import open_container, tag_text
from .audio import SourceAudio
from .audio_encoding import MP4_AUDIO, AudioEncoding

_FORMAT_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "software", "duration"})


@dataclass(frozen=True, kw_only=True)
class SourceTracks:
    """The `audio` tracks of a video file or URL, when its frames begin (`video_start`, in seconds; None if unknown),
    the time that is 0 in a player (`zero`), and its `tags` (title, creation time and so on). `notes` names what is
    dropped.
    """

    audio: list[SourceAudio] = field(default_factory=list)
    video_start: Fraction | None = None
    zero: Fraction = Fraction(0)
    tags: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, info: SourceInfo, output: str = "overlay", encoding: AudioEncoding = MP4_AUDIO) -> SourceTracks:
        """Those of `info.video` or `info.url` for an `output` with audio in that `encoding`; none for other sources."""
        is_file = info.video is not None and info.video.is_file()
        address = str(info.video) if is_file else info.url
        if address is None:
            return cls()
        name = file_name(address)
        try:
            source = open_container(address)
        except InputError as error:
            return cls(notes=[f"the audio of {name} is left out of the {output}: {error}"])
        with source:
            video = source.streams[info.video_stream]
            start = None
            if video.start_time is not None and video.time_base is not None:
                start = video.start_time * video.time_base
            dropped = Counter(stream.type for stream in source.streams if stream.type not in ("video", "audio"))
            kinds = [f"{count} {kind} track{'s' * (count > 1)}" for kind, count in sorted(dropped.items())]
            return cls(
                audio=[
                    SourceAudio(address, stream.index, info.video_stream, output, encoding)
                    for stream in source.streams.audio
                ],
                video_start=start,
                zero=_zero(source),
                tags={
                    key: tag_text(value) for key, value in source.metadata.items() if key.lower() not in _FORMAT_TAGS
                },
                notes=[f"{' and '.join(kinds)} of {name} cannot be kept in the {output}"] if kinds else [],
            )

    def close(self) -> None:
        for track in self.audio:
            track.close()


def _zero(source: InputContainer) -> Fraction:
    """The time of the source that players show as 0: its first one in broadcast formats, whose clocks begin anywhere,
    and where a recording of a running stream begins a second or more late.
    """
    first = Fraction(source.start_time or 0, 1_000_000)
    return first if has_clock_jumps(source) or first >= 1 else Fraction(0)
