import io
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.runtime.errors import InputError
from amcnet.runtime.frame import Frame
from amcnet.runtime.video.reader import open_frames

MakeClip = Callable[..., Path]
Picture = Callable[..., NDArray[np.uint8]]


def _read(source: Path | str, **selection: int) -> list[Frame]:
    with open_frames(source, **selection) as reader:
        return list(reader)


def _difference(pixels: NDArray[Any], expected: NDArray[Any]) -> float:
    """Mean absolute difference in gray levels; two neighboring frames of a clip are 9 or more apart."""
    assert pixels.shape == expected.shape
    return float(np.abs(pixels - expected.astype(float)).mean())


def _remux(source: Path, target: Path, *, shift: int = 0, **options: str) -> Path:
    """Copy the packets without decoding them, `shift` ticks earlier."""
    with av.open(str(source)) as reader, av.open(str(target), "w", options=options) as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        for packet in reader.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                writer.mux(packet)
    return target


@pytest.fixture
def clip(make_clip: MakeClip, tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mp4", frames=20, size=(64, 48))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts", "flv"])
def test_every_frame_comes_once_in_order_of_presentation(
    make_clip: MakeClip, clip_picture: Picture, tmp_path: Path, suffix: str
):
    frames = _read(make_clip(tmp_path / f"clip.{suffix}", frames=20))  # x264 stores them out of order
    assert [frame.index for frame in frames] == list(range(20))
    assert max(_difference(frame.pixels, clip_picture(frame.index, (64, 48))) for frame in frames) < 5
    steps = np.diff([frame.pts_seconds for frame in frames])
    assert np.allclose(steps, 0.04)


def test_the_source_is_described_on_opening(make_clip: MakeClip, tmp_path: Path):
    path = make_clip(tmp_path / "clip.mp4", rate=Fraction(30_000, 1001), audio=True)
    with open_frames(path) as reader:
        info = reader.info
        frames = list(reader)
    assert (info.name, info.frame_rate, info.expected_frames) == (str(path), Fraction(30_000, 1001), 10)
    assert info.video == path
    assert [frame.pts * info.time_base for frame in frames] == [Fraction(1001 * index, 30_000) for index in range(10)]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_frame_rate_is_kept_exactly(make_clip: MakeClip, tmp_path: Path, suffix: str):
    pts = [0, 3060, 4500, 45_000, 45_090, 99_000]  # whole milliseconds, since that is all that Matroska keeps
    with open_frames(make_clip(tmp_path / f"clip.{suffix}", pts=pts)) as reader:
        times = [frame.pts * reader.info.time_base for frame in reader]
        assert reader.truncated is None
    assert times == [Fraction(time, 90_000) for time in pts]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_applied(make_clip: MakeClip, clip_picture: Picture, tmp_path: Path, rotation: int):
    frames = _read(make_clip(tmp_path / "clip.mp4", frames=3, rotation=rotation))
    assert max(_difference(frame.pixels, clip_picture(frame.index, (64, 48))) for frame in frames) < 5
    assert all(frame.pixels.flags.c_contiguous for frame in frames)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", ["hflip", "vflip"])
def test_mirroring_is_applied(clip_picture: Picture, tmp_path: Path, degrees: int, flip: str):
    upright = clip_picture(3, (64, 48))
    # The file says: turn counterclockwise, then mirror. What is stored has to be the inverse of that.
    stored = np.rot90(upright[:, ::-1] if flip == "hflip" else upright[::-1], -degrees // 90)
    with av.open(str(tmp_path / "clip.mov"), "w") as container:
        stream = container.add_stream("png", rate=25, width=stored.shape[1], height=stored.shape[0], pix_fmt="rgb24")
        stream.set_display_rotation(degrees, **{flip: True})
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(stored), format="rgb24")))
        container.mux(stream.encode(None))
    (frame,) = _read(tmp_path / "clip.mov")
    assert np.array_equal(frame.pixels, upright)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 8), (63, 47), (130, 3)])
def test_odd_and_tiny_sizes_are_read(make_clip: MakeClip, clip_picture: Picture, tmp_path: Path, size: tuple[int, int]):
    frames = _read(make_clip(tmp_path / "clip.mov", frames=3, size=size, codec="png"))
    assert all(np.array_equal(frame.pixels, clip_picture(frame.index, size)) for frame in frames)
    lossy = _read(make_clip(tmp_path / "clip.mp4", frames=3, size=size))
    luma = np.array([0.299, 0.587, 0.114])  # only brightness: the four pixels of 2x2 share one color
    assert max(_difference(frame.pixels @ luma, clip_picture(frame.index, size) @ luma) for frame in lossy) < 15


def test_start_frames_and_stride_select(clip: Path, clip_picture: Picture):
    frames = _read(clip, start=5, stride=4, frames=3)
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [round(frame.pts_seconds / 0.04) for frame in frames] == [5, 9, 13]
    assert max(_difference(f.pixels, clip_picture(k, (64, 48))) for f, k in zip(frames, (5, 9, 13), strict=True)) < 5
    assert len(_read(clip, start=5, stride=4)) == 4
    with open_frames(clip, start=5, stride=4) as reader:
        assert reader.info.expected_frames == 4
    with pytest.raises(InputError, match="start 20 is beyond the end; there are 20 frames"):
        open_frames(clip, start=20)


def test_a_closed_reader_gives_no_frames(clip: Path):
    with open_frames(clip) as reader:
        next(reader)
    reader.close()
    assert list(reader) == []


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(("matrix", "kr", "kb"), [(1, 0.2126, 0.0722), (5, 0.299, 0.114), (9, 0.2627, 0.0593)])
def test_color_matrix_and_range_of_the_stream_are_used(
    tmp_path: Path, matrix: int, kr: float, kb: float, full_range: bool
):
    y, cb, cr = 120, 90, 180
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=16, height=16, pix_fmt="yuv420p")
        stream.options = {"qp": "0"}
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if full_range else 1
        frame = av.VideoFrame(16, 16, "yuv420p")
        frame.colorspace, frame.color_range = matrix, 2 if full_range else 1
        for plane, value in zip(frame.planes, (y, cb, cr), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    luma = y / 255 if full_range else (y - 16) / 219
    pb, pr = ((value - 128) / (255 if full_range else 224) for value in (cb, cr))
    red, blue = luma + 2 * (1 - kr) * pr, luma + 2 * (1 - kb) * pb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    (read,) = _read(path)
    assert np.abs(read.pixels[8, 8] - 255 * np.array([red, green, blue])).max() <= 3


def test_frames_hidden_by_an_edit_list_are_not_reported_as_lost(clip: Path, clip_picture: Picture, tmp_path: Path):
    path = _remux(clip, tmp_path / "edited.mp4", shift=5 * 512, avoid_negative_ts="disabled")
    with open_frames(path) as reader:
        frames = list(reader)
        assert (reader.info.expected_frames, reader.truncated) == (15, None)
    assert max(_difference(frame.pixels, clip_picture(frame.index + 5, (64, 48))) for frame in frames) < 5


def test_a_stream_without_times_gets_its_frame_rate(clip: Path, tmp_path: Path):
    frames = _read(_remux(clip, tmp_path / "raw.h264"))
    assert np.allclose([frame.pts_seconds for frame in frames], np.arange(20) / 25)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_the_frames_of_a_cut_file_are_read(make_clip: MakeClip, clip_picture: Picture, tmp_path: Path, suffix: str):
    codec = "mpeg4" if suffix == "avi" else "libx264"
    whole = make_clip(tmp_path / f"whole.{suffix}", frames=40, size=(320, 240), codec=codec)
    if suffix == "mp4":  # with its index in front, as on the web; without an index nothing could be read
        whole = _remux(whole, tmp_path / "fast.mp4", movflags="faststart")
    content = whole.read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(content[: len(content) * 7 // 10])
    with open_frames(cut) as reader:
        frames = list(reader)
        assert reader.truncated is not None
        assert reader.truncated.startswith(f"{cut}: ")
        assert str(len(frames)) in reader.truncated
    assert 15 < len(frames) < 38
    assert all(_difference(frame.pixels, clip_picture(frame.index, (320, 240))) < 6 for frame in frames[:-4])
    with open_frames(whole) as reader:
        assert len(list(reader)) == 40
        assert reader.truncated is None


def test_damaged_frames_in_the_middle_are_skipped_and_counted(make_clip: MakeClip, tmp_path: Path):
    path = make_clip(tmp_path / "clip.mp4", frames=60, size=(320, 240))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    path.write_bytes(content)
    with open_frames(path) as reader:
        frames = list(reader)
        assert 30 < len(frames) <= 60
        assert reader.truncated is not None
        assert "damaged after" in reader.truncated


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """`pipe(content)` puts it on standard input."""

    class OneWay(io.BytesIO):
        def seekable(self) -> bool:
            return False

    def put(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(OneWay(content)))

    return put


def test_a_y4m_stream_is_read_from_standard_input(
    make_clip: MakeClip, clip_picture: Picture, tmp_path: Path, pipe: Callable[[bytes], None]
):
    path = make_clip(tmp_path / "clip.y4m", frames=5, rate=Fraction(30_000, 1001), codec="wrapped_avframe")
    pipe(path.read_bytes())
    with open_frames("-") as reader:
        frames = list(reader)
        info = reader.info
    assert (info.name, info.frame_rate, info.video) == ("standard input", Fraction(30_000, 1001), None)
    assert len(frames) == 5
    assert max(_difference(frame.pixels, clip_picture(frame.index, (64, 48))) for frame in frames) < 5
    assert [frame.pts * info.time_base for frame in frames] == [Fraction(1001 * index, 30_000) for index in range(5)]


def test_a_y4m_stream_that_ends_inside_a_frame_is_truncated(
    make_clip: MakeClip, tmp_path: Path, pipe: Callable[[bytes], None]
):
    content = make_clip(tmp_path / "clip.y4m", frames=5, codec="wrapped_avframe").read_bytes()
    for missing, frames in ((0, 5), (1, 4), (3000, 4), (4613, 4), (4614, 4)):
        pipe(content[: len(content) - missing])
        with open_frames("-") as reader:
            assert len(list(reader)) == frames
            assert (reader.truncated is not None) == (missing not in (0, 4614))  # a frame has 6 + 4608 bytes


@pytest.mark.parametrize("content", [b"", b"RIFF and other things", b"YUV4MPEG2 W0 H0 F25:1\n", "mp4"])
def test_other_formats_on_standard_input_are_refused(content: bytes | str, clip: Path, pipe: Callable[[bytes], None]):
    pipe(clip.read_bytes() if isinstance(content, str) else content)
    with pytest.raises(InputError, match="standard input: "):
        open_frames("-")


def test_errors_of_damaged_files_name_the_cause(
    clip: Path, make_clip: MakeClip, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    content = clip.read_bytes()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "half.mp4").write_bytes(content[: len(content) // 2])
    (tmp_path / "future.mp4").write_bytes(content.replace(b"avc1", b"evc1"))
    with av.open(str(tmp_path / "song.mka"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    for name, message in (
        ("missing.mp4", "there is no such file or folder; expected a video such as mp4, .* or '-' for y4m"),
        ("empty.mp4", r"the file is empty \(0 bytes\); expected a video"),
        ("text.mp4", "the video cannot be opened"),
        ("half.mp4", "the video cannot be opened"),
        ("future.mp4", "the video's codec 'evc1' is not supported"),
        ("song.mka", "there is no video in it, only audio"),
    ):
        with pytest.raises(InputError, match=f"{name}: {message}"):
            open_frames(tmp_path / name)
    with pytest.raises(
        InputError,
        match=r"unheard-of://host/clip: the FFmpeg inside PyAV .* has no protocol 'unheard-of'; .*Fix: ffmpeg -i",
    ):
        open_frames("unheard-of://host/clip")
    assert capfd.readouterr().err == ""


def test_a_video_that_cannot_be_converted_to_rgb_is_refused(tmp_path: Path):
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=16, height=16, pix_fmt="yuv444p")
        stream.codec_context.colorspace = 8  # YCgCo
        container.mux(stream.encode(av.VideoFrame(16, 16, "yuv444p")))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="color matrix 8 cannot be converted to RGB"):
        open_frames(tmp_path / "clip.mkv")


def test_memory_does_not_grow_with_the_length(make_clip: MakeClip, tmp_path: Path):
    path = make_clip(tmp_path / "clip.mp4", frames=300, size=(640, 480), moving=False)
    with open_frames(path) as reader:
        for frame in reader:
            if frame.index == 50:
                before_mib = _resident_mib()
        grown_mib = _resident_mib() - before_mib
    assert grown_mib < 20  # 250 frames of 0.9 MiB would be 225


def _resident_mib() -> float:
    """What the process holds now; its peak would hide a growth behind that of an earlier test."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("this system does not tell a process's memory in /proc")
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
