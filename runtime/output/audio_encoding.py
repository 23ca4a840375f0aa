"""Ways to store an audio track in each container: codecs that are copied, and the encoder for the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from av.audio.stream import AudioStream

_AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})


@dataclass(frozen=True, kw_only=True)
class AudioEncoding:
    """`copied` are codecs (by the names of FFmpeg's decoders) that players expect in the container,
    `copied_with_header` those that cannot be written without the header of the stream. All others are encoded by
    `codec`, at their rate if it is among `rates`, else at 48 kHz, in the layout for their number of channels, else
    stereo.
    """

    copied: frozenset[str]
    copied_with_header: frozenset[str]
    codec: str = "aac"
    rates: frozenset[int] = _AAC_RATES
    layouts: Mapping[int, str] = field(
        default_factory=lambda: {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
    )

    def copies(self, track: AudioStream) -> bool:
        """Whether `track` is copied."""
        codec = track.codec_context
        return codec.name in self.copied or (codec.name in self.copied_with_header and bool(codec.extradata))


# E-AC-3 is encoded too: the muxer reads its packets and gives up the whole file at a damaged one.
_EVERYWHERE = frozenset({"aac", "ac3", "mp3", "mp3float"})
MP4_AUDIO = AudioEncoding(copied=_EVERYWHERE, copied_with_header=frozenset({"alac", "flac", "opus"}))
MOV_AUDIO = AudioEncoding(copied=_EVERYWHERE, copied_with_header=frozenset({"alac"}))
MATROSKA_AUDIO = AudioEncoding(copied=_EVERYWHERE, copied_with_header=frozenset({"alac", "flac", "opus", "vorbis"}))
WEBM_AUDIO = AudioEncoding(
    copied=frozenset(),
    copied_with_header=frozenset({"opus", "vorbis"}),
    codec="libopus",
    rates=frozenset({48_000}),
    layouts={1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"},
)
