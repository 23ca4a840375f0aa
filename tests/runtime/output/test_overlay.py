"""The overlay keeps the size, times, rate, colors and audio of the source, and stays playable after an interrupt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.runtime.errors import OutputError
from amcnet.runtime.frame import Frame, MaskFrame, SourceInfo
from amcnet.runtime.output.overlay import OverlayWriter, blend
from amcnet.runtime.output.video_encoding import H264

MakeClip = Callable[..., Path]


def _info(
    time_base: Fraction = Fraction(1, 25), rate: Fraction | None = Fraction(25), video: Path | None = None
) -> SourceInfo:
    return SourceInfo(name="test", time_base=time_base, frame_rate=rate, video=video)


def _picture(size: tuple[int, int]) -> NDArray[np.uint8]:
    """A color field (H, W, 3) without sharp edges, for `size` (W, H)."""
    width, height = size
    red, green = np.meshgrid(np.linspace(30, 220, width), np.linspace(220, 40, height))
    return np.stack([red, green, (red + green) / 2], axis=-1).astype(np.uint8)


def _mask_frame(frame: Frame, mask: NDArray[np.bool_] | None = None) -> MaskFrame:
    """`frame` with `mask`, or an empty one."""
    mask = np.zeros(frame.pixels.shape[:2], bool) if mask is None else mask
    return MaskFrame(frame, mask, mask.astype(np.float32))


def _write(
    path: Path, info: SourceInfo, times: Sequence[int], pictures: Sequence[NDArray[np.uint8]] | None = None
) -> OverlayWriter:
    pictures = pictures or [_picture((64, 48))] * len(times)
    with OverlayWriter(path, info) as overlay:
        for index, (pts, pixels) in enumerate(zip(times, pictures, strict=True)):
            frame = Frame(pixels=pixels, index=index, pts=pts, pts_seconds=float(pts * info.time_base))
            overlay.write(_mask_frame(frame))
    return overlay


def _read(path: Path) -> tuple[list[Fraction], list[NDArray[np.uint8]], Fraction | None]:
    """Times in seconds, pictures and average rate of a video, as any reader gets them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = [frame.pts * stream.time_base for frame in frames]
        return times, [frame.to_ndarray(format="rgb24") for frame in frames], stream.average_rate


def _copy(source: Path, path: Path, frames: slice = slice(None)) -> tuple[OverlayWriter, list[Fraction]]:
    """Write the overlay of those frames of a clip; also their times in the clip."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        info = _info(stream.time_base, stream.average_rate, source)
        decoded = [(frame.pts, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)][frames]
    overlay = _write(path, info, [pts for pts, _ in decoded], [pixels for _, pixels in decoded])
    return overlay, [pts * info.time_base for pts, _ in decoded]


def _sound(path: Path) -> tuple[str, list[Fraction], NDArray[np.float32], int]:
    """Codec, begin and end in seconds as they are heard, the samples (mono) and their rate."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        sounds = list(container.decode(stream))
        samples = np.concatenate([sound.to_ndarray().mean(axis=0) for sound in sounds])
        begin, rate = sounds[0].pts * sounds[0].time_base, sounds[0].sample_rate
        return stream.codec_context.name, [begin, begin + Fraction(len(samples), rate)], samples, rate


def _clip_with_sound(path: Path, codec: str, *, seconds: int = 2, rate: int = 48_000) -> Path:
    """A 25 fps clip whose tone rises steadily from 200 Hz by 1000 Hz a second: its pitch tells the time."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream(codec, rate=rate, layout="mono")
        for index in range(seconds * 25):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 4 * index, np.uint8), format="rgb24")
            container.mux(video.encode(frame))
            at = np.arange(index * rate // 25, (index + 1) * rate // 25) / rate
            wave = 0.5 * np.sin(2 * np.pi * (200 * at + 500 * at**2))
            sound = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = rate, index * rate // 25, Fraction(1, rate)
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def _moment(samples: NDArray[np.float32], rate: int, at_seconds: float) -> float:
    """The time in the clip of `_clip_with_sound` of what is heard within 50 ms around `at_seconds`."""
    window = samples[round((at_seconds - 0.05) * rate) :][: round(0.1 * rate)]
    spectrum = np.abs(np.fft.rfft(window * np.hanning(len(window)), 1 << 16))
    return float((spectrum.argmax() * rate / (1 << 16) - 200) / 1000)


# --- drawing


def test_blend_changes_the_inside_of_the_mask_only() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    before = pixels.copy()
    mask = np.zeros((60, 80), bool)
    mask[20:40, 10:50] = True
    blended = blend(pixels, mask)
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(blended[~mask], pixels[~mask])
    core = np.zeros_like(mask)
    core[21:39, 11:49] = True
    assert (blended[mask & ~core] == 255).all()  # the line is 1 px wide
    tint = np.array([255, 32, 64])
    assert np.abs(blended[core].astype(float) - (pixels[core] + tint) / 2).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 1), (65, 47)])
@pytest.mark.parametrize("value", [False, True])
def test_blend_draws_no_contour_along_the_image_border(size: tuple[int, int], value: bool) -> None:
    pixels = _picture(size)
    blended = blend(pixels, np.full(pixels.shape[:2], value))
    expected = (pixels + np.array([255.0, 32, 64])) / 2 if value else pixels  # no line along the picture's border
    assert np.abs(blended - expected).max() <= 1


def test_blend_accepts_mirrored_arrays() -> None:
    pixels, mask = _picture((64, 48)), np.random.default_rng(1).random((48, 64)) > 0.7
    np.testing.assert_array_equal(blend(pixels[:, ::-1], mask[:, ::-1]), blend(pixels, mask)[:, ::-1])


# --- times


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_times_of_a_variable_frame_rate_are_kept(tmp_path: Path, make_clip: MakeClip, suffix: str) -> None:
    steps = np.random.default_rng(0).integers(900, 40_000, 40)  # 10 ms to 0.4 s, in units of 1/90000 s
    clip = make_clip(tmp_path / f"clip.{suffix}", pts=[0, *np.cumsum(steps).tolist()])
    _, times = _copy(clip, tmp_path / "overlay.mp4")
    assert _read(tmp_path / "overlay.mp4")[0] == times


@pytest.mark.parametrize(
    ("time_base", "rate"),
    [
        (Fraction(1001, 30_000), Fraction(30_000, 1001)),
        (Fraction(1, 25), Fraction(25)),
        (Fraction(1, 600), None),
        (Fraction(1, 90_000), Fraction(2997, 100)),
        (Fraction(1, 1_000_000_000), Fraction(24_000, 1001)),
        (Fraction(7, 3), None),
    ],
)
def test_every_time_base_is_kept_to_the_microsecond(tmp_path: Path, time_base: Fraction, rate: Fraction | None) -> None:
    step = max(2, round(Fraction(1, 25) / time_base))
    times = [index * step + (index % 3 == 1) for index in range(12)]
    _write(tmp_path / "overlay.mp4", _info(time_base, rate), times)
    read, _, _ = _read(tmp_path / "overlay.mp4")
    assert len(read) == 12
    assert max(abs(a - b * time_base) for a, b in zip(read, times, strict=True)) <= Fraction(1, 1_000_000)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("frames", [1, 31])
def test_ntsc_rate_stays_a_fraction(tmp_path: Path, make_clip: MakeClip, suffix: str, frames: int) -> None:
    # Matroska rounds times to 1 ms: the last frame's duration makes up for it.
    clip = make_clip(tmp_path / f"clip.{suffix}", frames=frames, rate=Fraction(30_000, 1001))
    _, times = _copy(clip, tmp_path / "overlay.mp4")
    read, _, rate = _read(tmp_path / "overlay.mp4")
    assert read == times
    assert rate == Fraction(30_000, 1001)


def test_stride_gives_a_third_of_the_rate(tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip(tmp_path / "clip.mkv", frames=31, rate=Fraction(30_000, 1001))
    _copy(clip, tmp_path / "overlay.mp4", slice(None, None, 3))
    assert _read(tmp_path / "overlay.mp4")[2] == Fraction(10_000, 1001)


def test_last_frame_lasts_as_long_as_the_one_before(tmp_path: Path) -> None:
    _write(tmp_path / "overlay.mp4", _info(Fraction(1, 1000), Fraction(10)), [0, 40, 1000, 1250])
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == Fraction(3, 2)
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
    assert [packet.duration * packet.time_base * 1000 for packet in packets] == [40, 960, 250, 250]


@pytest.mark.parametrize(("first", "expected"), [(0, 0), (-5, 0), (500, 0)])
def test_images_and_pipes_begin_at_0(tmp_path: Path, first: int, expected: int) -> None:
    _write(tmp_path / "overlay.mp4", _info(Fraction(1, 100)), [first + 4 * index for index in range(5)])
    assert _read(tmp_path / "overlay.mp4")[0] == [expected + Fraction(4 * index, 100) for index in range(5)]


def test_a_late_start_of_the_video_is_kept(tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip(tmp_path / "clip.mp4", pts=[12_345 + 3600 * index for index in range(5)])
    _, times = _copy(clip, tmp_path / "overlay.mp4")
    assert times[0] > Fraction(1, 8)
    assert _read(tmp_path / "overlay.mp4")[0] == times


# --- images


@pytest.mark.parametrize("size", [(64, 48), (65, 47), (64, 47), (1, 1), (2, 2), (3, 1), (1, 200), (16, 2)])
def test_every_size_is_kept(tmp_path: Path, size: tuple[int, int]) -> None:
    _write(tmp_path / "overlay.mp4", _info(), range(5), [_picture(size)] * 5)
    _, pictures, _ = _read(tmp_path / "overlay.mp4")
    assert [picture.shape for picture in pictures] == [(size[1], size[0], 3)] * 5


@pytest.mark.parametrize("size", [(320, 240), (321, 239)])
def test_colors_are_kept_with_and_without_the_color_tag(tmp_path: Path, size: tuple[int, int]) -> None:
    picture = _picture(size)
    _write(tmp_path / "overlay.mp4", _info(), range(3), [picture] * 3)
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        frame = next(container.decode(video=0))
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (6, 1)  # BT.601, limited
        heeding = frame.to_ndarray(format="rgb24")
        frame.colorspace = 2  # unspecified
        heedless = frame.to_ndarray(format="rgb24")
    for read in (heeding, heedless):
        difference = np.abs(read.astype(int) - picture)
        assert difference.mean() <= 2
        assert difference.max() <= 8


@pytest.mark.parametrize("size", [(86, 48), (86, 50)])
def test_a_converted_frame_keeps_its_pixels_after_the_next_one(size: tuple[int, int]) -> None:
    pixels = _picture(size)
    expected = cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420)
    first = H264.to_frame(pixels)
    pixels[:] = 200
    H264.to_frame(pixels)
    assert (first.width, first.height) == size
    np.testing.assert_array_equal(first.to_ndarray(), expected)


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    pictures = [_picture((64, 48)), _picture((128, 96)), _picture((33, 21)), _picture((64, 48))]
    overlay = _write(tmp_path / "overlay.mp4", _info(), range(4), pictures)
    _, read, _ = _read(tmp_path / "overlay.mp4")
    assert [picture.shape for picture in read] == [(48, 64, 3)] * 4
    assert max(np.abs(picture.astype(int) - pictures[0]).mean() for picture in read) <= 4
    assert overlay.notes == ["the frames change size on their way; the overlay keeps the first one's, 64x48"]


def test_the_mask_is_visible_in_the_video(tmp_path: Path) -> None:
    mask = np.zeros((48, 64), bool)
    mask[16:32, 16:48] = True
    with OverlayWriter(tmp_path / "overlay.mp4", _info()) as overlay:
        frame = Frame(pixels=np.full((48, 64, 3), 90, np.uint8), index=0, pts=0, pts_seconds=0.0)
        overlay.write(_mask_frame(frame, mask))
    _, (read,), _ = _read(tmp_path / "overlay.mp4")
    assert np.abs(read[20:28, 24:40].reshape(-1, 3).mean(axis=0) - [172, 61, 77]).max() <= 6
    assert np.abs(read[:8].reshape(-1, 3).mean(axis=0) - 90).max() <= 3


# --- audio


def test_audio_stays_in_time(tmp_path: Path) -> None:
    clip = _clip_with_sound(tmp_path / "clip.mp4", "aac")
    overlay, _ = _copy(clip, tmp_path / "overlay.mp4")
    codec, span, samples, rate = _sound(tmp_path / "overlay.mp4")
    _, source_span, source_samples, _ = _sound(clip)
    assert codec == "aac"
    assert max(abs(a - b) for a, b in zip(span, source_span, strict=True)) <= Fraction(1024, 48_000)
    np.testing.assert_array_equal(samples, source_samples[: len(samples)])  # a copy, not encoded anew
    assert abs(_moment(samples, rate, 1.0) - 1.0) < 0.01
    assert overlay.notes == []


# Each container with a codec that MP4 players know (copied) or do not (encoded anew as AAC).
@pytest.mark.parametrize(
    ("name", "codec", "expected"),
    [
        ("clip.mp4", "aac", "aac"),
        ("clip.ts", "aac", "aac"),
        ("clip.mkv", "libopus", "opus"),
        ("clip.avi", "libmp3lame", "mp3float"),
        ("clip.mkv", "flac", "flac"),
        ("clip.ts", "mp2", "aac"),
        ("clip.avi", "pcm_s16le", "aac"),
    ],
)
@pytest.mark.parametrize("frames", [slice(None, 30), slice(20, 45)])
def test_audio_is_cut_to_the_frames_and_stays_in_time(
    tmp_path: Path, name: str, codec: str, expected: str, frames: slice
) -> None:
    clip = _clip_with_sound(tmp_path / name, codec)
    overlay, times = _copy(clip, tmp_path / "overlay.mp4", frames)
    heard, (begin, end), samples, rate = _sound(tmp_path / "overlay.mp4")
    first = _read(tmp_path / "overlay.mp4")[0][0]
    assert heard == expected
    # The longest frame of these codecs has 4608 samples (FLAC); 0.4 ms for the decoder's delay.
    assert abs(begin - first) <= Fraction(4608, 48_000)
    assert abs(end - (first + times[-1] - times[0] + Fraction(1, 25))) <= Fraction(4608, 48_000)
    # What is heard 0.5 s after the first frame is what was heard 0.5 s after it in the clip.
    in_clip = _moment(*_sound(clip)[2:], float(times[0] - _sound(clip)[1][0] + Fraction(1, 2)))
    assert abs(_moment(samples, rate, float(first - begin + Fraction(1, 2))) - in_clip) < 0.005
    assert overlay.notes == []


def test_audio_that_cannot_be_decoded_is_left_out_with_a_note(tmp_path: Path) -> None:
    clip = _clip_with_sound(tmp_path / "clip.avi", "mp2")
    data = clip.read_bytes()
    with av.open(str(clip)) as container:
        for packet in container.demux(audio=0):
            data = data.replace(bytes(packet), bytes(packet.size)) if packet.size else data
    clip.write_bytes(data)
    overlay, times = _copy(clip, tmp_path / "overlay.mp4")
    assert overlay.notes == ["the audio of clip.avi is left out of the overlay: nothing in it can be decoded"]
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    assert _read(tmp_path / "overlay.mp4")[0] == times


@pytest.mark.parametrize(("name", "codec"), [("clip.ts", "aac"), ("clip.ts", "mp2"), ("clip.mkv", "libopus")])
def test_damaged_audio_loses_no_frame(tmp_path: Path, name: str, codec: str) -> None:
    clip = _clip_with_sound(tmp_path / name, codec, seconds=1)
    whole, packets = clip.read_bytes(), _sound_packets(clip)
    for seed in range(8):
        rng, data = np.random.default_rng(seed), bytearray(whole)
        for position, size in rng.permutation(packets)[: 1 + 2 * seed]:
            data[position : position + size] = rng.integers(0, 256, size, dtype=np.uint8).tobytes()
        (tmp_path / f"bad-{name}").write_bytes(data)
        with OverlayWriter(tmp_path / "overlay.mp4", _info(video=tmp_path / f"bad-{name}")) as overlay:
            for index in range(25):
                frame = Frame(pixels=_picture((64, 48)), index=index, pts=index, pts_seconds=index / 25)
                overlay.write(_mask_frame(frame))
        assert _read(tmp_path / "overlay.mp4")[0] == [Fraction(index, 25) for index in range(25)]
        assert len(overlay.notes) <= 1


def _sound_packets(clip: Path) -> list[tuple[int, int]]:
    """Position and size in bytes of what each packet is read from."""
    with av.open(str(clip)) as container:
        packets = list(container.demux(audio=0))
        return [(packet.pos, packet.size) for packet in packets if packet.size and packet.pos is not None]


def test_a_clip_without_audio_has_no_note(tmp_path: Path, make_clip: MakeClip) -> None:
    overlay, _ = _copy(make_clip(tmp_path / "clip.mp4"), tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    assert overlay.notes == []


# --- interrupts and errors


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_run_leaves_a_playable_file(tmp_path: Path, error: type[BaseException]) -> None:
    clip = _clip_with_sound(tmp_path / "clip.mp4", "aac")
    path = tmp_path / "out" / "overlay.mp4"
    path.parent.mkdir()

    def run() -> None:
        with OverlayWriter(path, _info(video=clip)) as overlay:
            for index in range(10):
                frame = Frame(pixels=_picture((64, 48)), index=index, pts=index, pts_seconds=index / 25)
                overlay.write(_mask_frame(frame))
                assert not path.exists()
            raise error

    with pytest.raises(error):
        run()
    assert _read(path)[0] == [Fraction(index, 25) for index in range(10)]
    assert _sound(path)[1][1] == pytest.approx(0.4, abs=1024 / 48_000)
    assert list(path.parent.iterdir()) == [path]


def test_a_run_without_frames_keeps_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "overlay.mp4"
    path.write_bytes(b"old")
    with OverlayWriter(path, _info()):
        pass
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_reported_before_the_first_frame(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="create its folder first"):
        OverlayWriter(tmp_path / "missing" / "overlay.mp4", _info()).__enter__()


_WRITE_WITHOUT_SPACE = """
import resource, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from amcnet import OutputError
from amcnet.runtime.frame import Frame, MaskFrame, SourceInfo
from amcnet.runtime.output.overlay import OverlayWriter
limit, frames = int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
rng = np.random.default_rng(0)
try:
    with OverlayWriter(Path(sys.argv[1]), SourceInfo(name="noise", time_base=Fraction(1, 25))) as overlay:
        for index in range(frames):
            pixels = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
            frame = Frame(pixels=pixels, index=index, pts=index, pts_seconds=index / 25)
            overlay.write(MaskFrame(frame, pixels[..., 0] > 128, pixels[..., 0] / np.float32(255)))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of a file's size")
@pytest.mark.parametrize(
    ("limit", "frames"), [(0, 1), (20_000, 60), (20_000, 5)]
)  # full at once, on the way, at the end
def test_an_overlay_on_a_full_disk_leaves_no_file(tmp_path: Path, limit: int, frames: int) -> None:
    path = tmp_path / "overlay.mp4"
    command = [sys.executable, "-c", _WRITE_WITHOUT_SPACE, str(path), str(limit), str(frames)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"cannot write {path}: File too large; ")
    assert list(tmp_path.iterdir()) == []
