"""Parts of the source that the overlay keeps: all audio tracks, channels, tags, clock and aspect ratio; notes for the
rest.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from amcnet.runtime.frame import Frame, MaskFrame, SourceInfo
from amcnet.runtime.output.open_writer import open_writer
from amcnet.runtime.output.overlay import OverlayWriter
from amcnet.runtime.video.reader import open_frames

Picture = Callable[..., NDArray[np.uint8]]
RATE = 48_000


def _overlay(source: Path, path: Path, **selection: int) -> OverlayWriter:
    with open_frames(source, **selection) as reader, OverlayWriter(path, reader.info) as overlay:
        for frame in reader:
            mask = np.zeros(frame.pixels.shape[:2], bool)
            overlay.write(MaskFrame(frame, mask, mask.astype(np.float32)))
    return overlay


def _clip(path: Path, tracks: list[tuple[str, str, dict[str, str]]], metadata: dict[str, str] | None = None) -> Path:
    """Half a second of video with audio tracks of (codec, layout, tags); channel n has a tone of 300 Hz * (n + 1)."""
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        video = container.add_stream("mpeg4", rate=25, width=64, height=48, pix_fmt="yuv420p")
        streams = []
        for codec, layout, tags in tracks:
            stream = container.add_stream(codec, rate=RATE, layout=layout)
            stream.metadata.update(tags)
            streams.append(stream)
        for index in range(13):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")))
            at = np.arange(index * RATE // 25, (index + 1) * RATE // 25) / RATE
            for stream in streams:
                channels = stream.codec_context.layout.nb_channels
                tones = 0.3 * np.sin(2 * np.pi * 300 * np.arange(1, channels + 1)[:, None] * at)
                sound = av.AudioFrame.from_ndarray(
                    tones.astype(np.float32), format="fltp", layout=stream.codec_context.layout.name
                )
                sound.sample_rate, sound.pts, sound.time_base = RATE, index * RATE // 25, Fraction(1, RATE)
                container.mux(stream.encode(sound))
        for stream in (video, *streams):
            container.mux(stream.encode(None))
    return path


def _pitches(path: Path, track: int = 0) -> list[int]:
    """The strongest frequency of each channel, in units of 300 Hz."""
    with av.open(str(path)) as container:
        samples = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=track)], axis=1)
    spectrum = np.abs(np.fft.rfft(samples[:, 4096 : 4096 + RATE // 5], axis=1))
    return [round(float(peak) * 5 / 300) for peak in spectrum.argmax(axis=1)]


def test_surround_sound_stays_surround(tmp_path: Path) -> None:
    clip = _clip(tmp_path / "clip.mkv", [("pcm_s16le", "5.1", {})])
    overlay = _overlay(clip, tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        context = container.streams.audio[0].codec_context
        assert (context.name, context.layout.name) == ("aac", "5.1")
    assert [p for n, p in enumerate(_pitches(tmp_path / "overlay.mp4")) if n != 3] == [1, 2, 3, 5, 6]  # 3 has bass only
    assert overlay.notes == []


def test_more_channels_than_aac_has_become_stereo_with_a_note(tmp_path: Path) -> None:
    clip = _clip(tmp_path / "clip.mkv", [("pcm_s16le", "7.0", {})])
    overlay = _overlay(clip, tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        assert container.streams.audio[0].codec_context.layout.name == "stereo"
    assert overlay.notes == ["the 7 audio channels of clip.mkv become stereo in the overlay"]


def test_all_audio_tracks_and_their_languages_are_kept(tmp_path: Path) -> None:
    tracks = [
        ("aac", "mono", {"language": "deu", "title": "Ton"}),
        ("pcm_s16le", "stereo", {"language": "fra"}),
        ("libopus", "mono", {"language": "eng"}),
    ]
    clip = _clip(tmp_path / "clip.mkv", tracks)
    overlay = _overlay(clip, tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        audio = container.streams.audio
        assert [stream.codec_context.name for stream in audio] == ["aac", "aac", "opus"]
        assert [stream.language for stream in audio] == ["deu", "fra", "eng"]
        lengths = [float(stream.duration * stream.time_base) for stream in audio]
    assert lengths == pytest.approx([0.52] * 3, abs=0.05)
    assert _pitches(tmp_path / "overlay.mp4", 1) == [1, 2]
    assert overlay.notes == []


def test_title_and_creation_time_are_kept(tmp_path: Path) -> None:
    created = "2024-05-06T07:08:09.000000Z"
    clip = _clip(tmp_path / "clip.mp4", [], {"title": "Ein Titel", "creation_time": created, "comment": "von Hand"})
    _overlay(clip, tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        tags = container.metadata
    assert (tags["title"], tags["creation_time"], tags["comment"]) == ("Ein Titel", created, "von Hand")


def test_a_title_in_latin1_is_kept_as_text(kinds: ModuleType, clip_picture: Picture, tmp_path: Path) -> None:
    for suffix in ("avi", "mkv"):
        clip = kinds.with_title_in_latin1(tmp_path / f"clip.{suffix}", [clip_picture(i, (64, 48)) for i in range(3)])
        _overlay(clip, tmp_path / "overlay.mp4")
        with av.open(str(tmp_path / "overlay.mp4")) as container:
            assert container.metadata["title"] == "Größe  !"


def test_tracks_that_cannot_be_kept_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    clip = _clip(tmp_path / "plain.mkv", [])
    with av.open(str(clip)) as source, av.open(str(path), "w") as container:
        copy = container.add_stream_from_template(source.streams.video[0])
        container.add_attachment("font.ttf", "application/x-truetype-font", b"none")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copy
                container.mux(packet)
    assert _overlay(path, tmp_path / "overlay.mp4").notes == [
        "1 attachment track of clip.mkv cannot be kept in the overlay"
    ]


def _sound_at(path: Path, at_seconds: float) -> float:
    """The time of a `transport_stream` piece whose pitch is heard within 40 ms around `at_seconds`."""
    with av.open(str(path)) as container:
        sounds = list(container.decode(audio=0))
        begin = float(sounds[0].pts * sounds[0].time_base)
        samples = np.concatenate([sound.to_ndarray()[0] for sound in sounds])
    window = samples[round((at_seconds - begin - 0.04) * RATE) :][: round(0.08 * RATE)]
    spectrum = np.abs(np.fft.rfft(window * np.hanning(len(window)), 1 << 16))
    return float((spectrum.argmax() * RATE / (1 << 16) - 200) / 1000)


def _times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


@pytest.mark.parametrize("start", [2, 20_000])
def test_a_late_clock_begins_at_0(kinds: ModuleType, clip_picture: Picture, tmp_path: Path, start: int) -> None:
    images = [clip_picture(index, (64, 48)) for index in range(25)]
    clip = kinds.transport_stream(tmp_path / "clip.ts", images, start=start)
    _overlay(clip, tmp_path / "overlay.mp4")
    times = _times(tmp_path / "overlay.mp4")
    assert times[0] < 0.05
    assert np.diff(times) == pytest.approx([0.04] * 24, abs=1e-4)
    assert _sound_at(tmp_path / "overlay.mp4", times[0] + 0.5) == pytest.approx(0.5, abs=0.01)


def test_audio_and_frames_of_joined_files_stay_in_time(
    kinds: ModuleType, clip_picture: Picture, tmp_path: Path
) -> None:
    images = [clip_picture(index, (64, 48)) for index in range(25)]
    early = kinds.transport_stream(tmp_path / "early.ts", images, start=1)
    late = kinds.transport_stream(tmp_path / "late.ts", images, start=30_000)
    for name, pieces in (("short", [early, early, early]), ("leaps", [late, early, late])):
        clip = kinds.joined(tmp_path / f"{name}.ts", pieces)
        _overlay(clip, tmp_path / "overlay.mp4")
        times = _times(tmp_path / "overlay.mp4")
        assert np.diff(times) == pytest.approx([0.04] * 74, abs=1e-4)
        for piece in range(3):
            moment = times[25 * piece] + 0.5
            assert _sound_at(tmp_path / "overlay.mp4", moment) == pytest.approx(0.5, abs=0.03), (name, piece)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_the_last_delay_of_an_animation_is_kept(tmp_path: Path, suffix: str) -> None:
    images = [Image.new("RGB", (64, 48), (80 * index, 90, 30)) for index in range(3)]
    clip = tmp_path / f"clip.{suffix}"
    images[0].save(clip, save_all=True, append_images=images[1:], duration=[100, 900, 40])
    _overlay(clip, tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(1.04)


@pytest.mark.parametrize("rotation", [0, 90])
def test_the_sample_aspect_ratio_is_kept_upright(
    kinds: ModuleType, clip_picture: Picture, tmp_path: Path, rotation: int
) -> None:
    def setup(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
        if rotation:
            stream.set_display_rotation(-rotation)

    images = [clip_picture(index, (64, 48)) for index in range(3)]
    clip = kinds.encode(tmp_path / "clip.mp4", images, "mpeg4", setup=setup)
    _overlay(clip, tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.sample_aspect_ratio == (Fraction(11, 16) if rotation else Fraction(16, 11))
        assert (stream.width, stream.height) == ((48, 64) if rotation else (64, 48))


@pytest.mark.parametrize(("size", "expected"), [((17_000, 20), (16_384, 20)), ((16, 20_000), (14, 16_384))])
def test_a_frame_too_large_for_the_encoder_is_scaled_down(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    width, height = size
    info = SourceInfo(name="wide", time_base=Fraction(1, 25), frame_rate=Fraction(25))
    pixels = np.full((height, width, 3), 120, np.uint8)
    with OverlayWriter(tmp_path / "overlay.mp4", info) as overlay:
        for index in range(2):
            frame = Frame(pixels=pixels, index=index, pts=index, pts_seconds=index / 25)
            mask = np.zeros((height, width), bool)
            overlay.write(MaskFrame(frame, mask, mask.astype(np.float32)))
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == expected
        assert stream.frames == 2
    assert overlay.notes == [
        f"the overlay is {expected[0]}x{expected[1]}, the frames {width}x{height}: "
        "H.264 has at most 16384 pixels a side"
    ]


@pytest.mark.parametrize(("kind", "kept"), [("alpha-prores", True), ("matte", False), ("alpha-webm", False)])
def test_the_sample_aspect_ratio_of_other_kinds(
    kinds: ModuleType, clip_picture: Picture, tmp_path: Path, kind: str, kept: bool
) -> None:
    setup = lambda stream: setattr(stream.codec_context, "sample_aspect_ratio", Fraction(16, 11))  # noqa: E731
    clip = kinds.encode(tmp_path / "clip.mp4", [clip_picture(0, (64, 48))], "mpeg4", setup=setup)
    with open_frames(clip) as reader, open_writer(kind, tmp_path / "out", reader.info) as writer:
        for frame in reader:
            writer.write(MaskFrame(frame, np.ones((48, 64), bool), np.ones((48, 64), np.float32)))
    with av.open(str(tmp_path / "out")) as container:
        assert (container.streams.video[0].sample_aspect_ratio == Fraction(16, 11)) == kept
    assert [note.split(",")[0] for note in writer.notes] == [f"the {kind} has square pixels"] * (not kept)


def test_a_damaged_packet_costs_that_packet(kinds: ModuleType, clip_picture: Picture, tmp_path: Path) -> None:
    images = [clip_picture(index, (64, 48)) for index in range(25)]
    clip = kinds.transport_stream(tmp_path / "clip.ts", images)
    data = clip.read_bytes()
    packets = [data[begin : begin + 188] for begin in range(0, len(data), 188)]
    audio = [index for index, packet in enumerate(packets) if int.from_bytes(packet[1:3], "big") & 0x1FFF == 0x101]
    within = next(index for index in audio if not packets[index][1] & 0x40)  # not the first of its frame
    clip.write_bytes(b"".join(packets[:within] + packets[within + 1 :]))
    overlay = _overlay(clip, tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        stream = container.streams.audio[0]
        assert float(stream.duration * stream.time_base) > 0.9
    assert overlay.notes == ["the audio of clip.ts lacks 1 damaged packet in the overlay"]


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "aac"), ("mkv", "pcm_s16le"), ("mp4", "aac")])
def test_sound_of_joined_files(kinds: ModuleType, tmp_path: Path, suffix: str, codec: str) -> None:
    piece = _clip(tmp_path / f"piece.{suffix}", [(codec, "mono", {})])
    overlay = _overlay(kinds.joined(tmp_path / f"joined.{suffix}", [piece] * 3), tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.frames == 39
        lengths = [float(stream.duration * stream.time_base) for stream in (video, audio)]
    assert lengths[0] == pytest.approx(lengths[1], abs=0.06)
    assert overlay.notes == []


def test_a_further_recording_with_another_kind_of_sound(kinds: ModuleType, tmp_path: Path) -> None:
    pieces = [_clip(tmp_path / f"{codec}.mkv", [(codec, "mono", {})]) for codec in ("aac", "libmp3lame")]
    overlay = _overlay(kinds.joined(tmp_path / "joined.mkv", pieces), tmp_path / "overlay.mp4")
    assert len(overlay.notes) == 1
    assert overlay.notes[0].endswith(": a further recording in the file has another kind of sound")
