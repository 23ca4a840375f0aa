"""Videos that need care: titles, times, streams, colors, interlacing, HDR."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.runtime.errors import InputError
from amcnet.runtime.frame import Frame
from amcnet.runtime.video.reader import FrameReader, open_frames

Picture = Callable[..., NDArray[np.uint8]]


def _read(source: Path | str, **options: Any) -> tuple[list[Frame], FrameReader]:
    with open_frames(source, **options) as reader:
        return list(reader), reader


def _images(clip_picture: Picture, frames: int, size: tuple[int, int] = (64, 48)) -> list[NDArray[np.uint8]]:
    return [clip_picture(index, size) for index in range(frames)]


def _differences(frames: list[Frame], images: list[NDArray[np.uint8]]) -> list[float]:
    assert len(frames) == len(images)
    return [float(np.abs(f.pixels.astype(float) - image).mean()) for f, image in zip(frames, images, strict=True)]


@pytest.mark.parametrize("suffix", ["avi", "mp4", "mkv", "wmv"])
def test_a_title_that_is_not_utf8_is_read(
    kinds: ModuleType, clip_picture: Picture, tmp_path: Path, suffix: str
) -> None:
    images = _images(clip_picture, 12)
    frames, reader = _read(kinds.with_title_in_latin1(tmp_path / f"clip.{suffix}", images))
    assert max(_differences(frames, images)) < 12
    assert (reader.truncated, reader.notes) == (None, [])


@pytest.mark.parametrize(("codec", "b_frames"), [("libx264", 3), ("libx264", 0), ("mpeg4", 2)])
@pytest.mark.parametrize("rate", [24, 30])
def test_b_frames_in_avi_have_even_times(
    kinds: ModuleType, clip_picture: Picture, tmp_path: Path, codec: str, b_frames: int, rate: int
) -> None:
    images = _images(clip_picture, 20)
    setup = lambda stream: setattr(stream.codec_context, "max_b_frames", b_frames)  # noqa: E731
    path = kinds.encode(tmp_path / "clip.avi", images, codec, rate=rate, setup=setup)
    frames, _ = _read(path)
    assert max(_differences(frames, images)) < 12
    steps = np.diff([frame.pts_seconds for frame in frames])
    assert steps == pytest.approx([1 / rate] * 19)
    assert frames[0].pts_seconds <= 2 / rate


def test_the_stream_with_the_default_flag_is_read(kinds: ModuleType, clip_picture: Picture, tmp_path: Path) -> None:
    path = kinds.two_streams(
        tmp_path / "clip.mkv", [(8, (96, 64), False), (8, (64, 48), True), (1, (160, 96), False)], clip_picture
    )
    frames, reader = _read(path)
    assert (len(frames), frames[0].pixels.shape) == (8, (48, 64, 3))
    assert reader.info.video_stream == 1
    (note,) = reader.notes
    assert "3 video streams: 0 (mpeg4 96x64), 1 (mpeg4 64x48), 2 (mpeg4 160x96); stream 1 is read" in note
    assert "--video-stream" in note
    frames, reader = _read(path, video_stream=0)
    assert frames[0].pixels.shape == (64, 96, 3)
    assert "stream 0 is read" in reader.notes[0]
    with pytest.raises(InputError, match="got video stream 3, expected 0 to 2"):
        open_frames(path, video_stream=3)


def test_without_a_flag_the_largest_stream_of_several_frames_is_read(
    kinds: ModuleType, clip_picture: Picture, tmp_path: Path
) -> None:
    streams = [(6, (64, 48), False), (6, (96, 64), False), (1, (160, 96), False)]
    frames, _ = _read(kinds.two_streams(tmp_path / "clip.mkv", streams, clip_picture))
    assert (len(frames), frames[0].pixels.shape) == (6, (64, 96, 3))


def test_the_clock_continues_over_joined_files(kinds: ModuleType, clip_picture: Picture, tmp_path: Path) -> None:
    images = _images(clip_picture, 10)
    early = kinds.transport_stream(tmp_path / "early.ts", images, start=1)
    late = kinds.transport_stream(tmp_path / "late.ts", images, start=50_000)
    for name, pieces, jumps in (("short", [early] * 3, "2 times"), ("leap", [early, late], "1 time")):
        frames, reader = _read(kinds.joined(tmp_path / f"{name}.ts", pieces))
        assert max(_differences(frames, images * len(pieces))) < 12
        assert np.diff([frame.pts_seconds for frame in frames]) == pytest.approx([0.04] * (len(frames) - 1))
        assert [note.partition(": ")[2] for note in reader.notes] == [
            f"the clock jumps {jumps}; the pieces are joined without a gap"
        ]


@pytest.mark.parametrize(("name", "codec", "gap_seconds"), [("gap.ts", "libx264", 1), ("gap.ogv", "libvpx", 30)])
def test_a_gap_in_the_frames_is_kept(
    kinds: ModuleType, clip_picture: Picture, tmp_path: Path, name: str, codec: str, gap_seconds: int
) -> None:
    images = _images(clip_picture, 10)
    pts = [index * 3600 + (gap_seconds * 90_000 if index >= 5 else 0) for index in range(10)]
    path = kinds.encode(tmp_path / name, images, codec, pts=pts, time_base=Fraction(1, 90_000))
    frames, reader = _read(path)
    assert max(np.diff([frame.pts_seconds for frame in frames])) == pytest.approx(gap_seconds + 0.04, abs=0.001)
    assert reader.notes == []


@pytest.mark.parametrize(
    ("size", "kr", "kb"), [((1280, 64), 0.2126, 0.0722), ((64, 720), 0.2126, 0.0722), ((1278, 64), 0.299, 0.114)]
)
def test_untagged_hd_is_bt709(kinds: ModuleType, tmp_path: Path, size: tuple[int, int], kr: float, kb: float) -> None:
    y, cb, cr = 120, 90, 180
    path = kinds.encode(tmp_path / "clip.mkv", [kinds.solid(*size, (y, cb, cr))], "libx264", qp="0")
    luma, pb, pr = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    red, blue = luma + 2 * (1 - kr) * pr, luma + 2 * (1 - kb) * pb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    (frame,), _ = _read(path)
    assert np.abs(frame.pixels[32, 32] - 255 * np.array([red, green, blue])).max() <= 3


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ, 1000 nits"), (18, "HLG")])
def test_hdr_becomes_sdr(kinds: ModuleType, tmp_path: Path, transfer: int, name: str) -> None:
    def setup(stream: av.VideoStream) -> None:
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = transfer, 9, 9, 1

    # PQ: 58 % is 203 nits, the reference white; HLG: 75 %.
    white = 64 + round(876 * (0.58 if transfer == 16 else 0.75))
    images = [kinds.solid(64, 48, (code, 512, 512), "yuv420p10le") for code in (64, 300, white, 940)]
    path = kinds.encode(tmp_path / "clip.mkv", images, "libx264", pix_fmt="yuv420p10le", setup=setup, qp="0")
    frames, reader = _read(path)
    grays = [frame.pixels[24, 32].astype(int) for frame in frames]
    assert max(np.ptp(gray) for gray in grays) <= 2  # gray stays gray
    black, dark, white_shown, peak = (int(gray[1]) for gray in grays)
    assert black <= 1
    assert peak >= 254
    assert 210 <= white_shown <= 240
    assert black + 20 < dark < white_shown < peak
    (note,) = reader.notes
    assert f"HDR ({name}, BT.2020) is tone mapped to SDR (BT.709)" in note


_TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # BT.2087


def _pq_code(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    power = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def _hlg_code(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    display = nits / 1000
    luminance = display @ [0.2627, 0.6780, 0.0593]
    scene = display / luminance ** (0.2 / 1.2)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    )


@pytest.mark.parametrize("nits", [(60, 20, 10), (5, 50, 20), (8, 10, 70), (30, 30, 30)])
@pytest.mark.parametrize(("transfer", "code"), [(16, _pq_code), (18, _hlg_code)])
def test_hdr_colors_below_the_knee_are_kept(
    kinds: ModuleType,
    tmp_path: Path,
    transfer: int,
    code: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    nits: tuple[int, int, int],
) -> None:
    def setup(stream: av.VideoStream) -> None:
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = transfer, 9, 9, 1

    red, green, blue = code(_TO_BT2020 @ np.array(nits, float))
    luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    planes = (
        round(64 + 876 * luma),
        round(512 + 896 * (blue - luma) / 1.8814),
        round(512 + 896 * (red - luma) / 1.4746),
    )
    image = kinds.solid(64, 48, planes, "yuv420p10le")
    path = kinds.encode(tmp_path / "clip.mkv", [image], "libx264", pix_fmt="yuv420p10le", setup=setup, qp="0")
    (frame,), _ = _read(path)
    expected = 255 * (np.array(nits) / 203) ** (1 / 2.4)  # SDR white is 203 nits
    assert np.abs(frame.pixels[24, 32] - expected).max() <= 4


def test_dolby_vision_without_a_compatible_base_layer_is_refused(
    kinds: ModuleType, clip_picture: Picture, tmp_path: Path
) -> None:
    path = kinds.encode(tmp_path / "clip.mp4", _images(clip_picture, 3), "libx264")
    whole = path.read_bytes()
    for profile, compatible_with, refused in ((5, 0, True), (8, 1, False), (8, 4, False)):
        record = bytes([1, 0, profile << 1, 0b00101101, compatible_with << 4]) + bytes(19)
        path.write_bytes(whole + (8 + 4 + len(record)).to_bytes(4, "big") + b"free" + b"dvcC" + record)
        if refused:
            with pytest.raises(InputError, match=r"got Dolby Vision profile 5, .* expected SDR, HDR10 or HLG. Fix: "):
                open_frames(path)
        else:
            assert len(_read(path)[0]) == 3
    # Matroska: the name of the box and the record are two elements of a BlockAdditionMapping.
    path = kinds.encode(tmp_path / "clip.mkv", _images(clip_picture, 3), "libx264")
    mapping = b"\x41\xe7\x84dvcC\x41\xed\x98" + bytes([1, 0, 5 << 1, 0b00101101, 0]) + bytes(19)
    path.write_bytes(path.read_bytes() + b"\xec" + bytes([0x80 | len(mapping)]) + mapping)  # inside a Void element
    with pytest.raises(InputError, match="got Dolby Vision profile 5"):
        open_frames(path)


def _comb(frame: Frame) -> float:
    """The mean difference of each line from the mean of its neighbors."""
    lines = frame.pixels.astype(float)
    return float(np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).mean())


def test_interlaced_frames_are_deinterlaced_and_noted(kinds: ModuleType, tmp_path: Path) -> None:
    path = kinds.interlaced(tmp_path / "clip.mpg")
    kept, reader = _read(path, deinterlace="no")
    assert "interlaced; its frames are kept as they are stored" in reader.notes[0]
    for mode in ("auto", "yes"):
        frames, reader = _read(path, deinterlace=mode)
        assert "the video is interlaced; its frames are deinterlaced by bwdif" in reader.notes[0]
        assert [frame.pts for frame in frames] == [frame.pts for frame in kept]
        inner = range(1, len(kept) - 1)
        assert all(_comb(frames[index]) < _comb(kept[index]) / 3 for index in inner)
    with pytest.raises(InputError, match="deinterlace: got 'maybe', expected auto, yes, no"):
        open_frames(path, deinterlace="maybe")


def test_unmarked_fields_are_deinterlaced_on_request_only(kinds: ModuleType, tmp_path: Path) -> None:
    path = kinds.interlaced(tmp_path / "clip.mpg", marked=False)
    kept, reader = _read(path)
    assert reader.notes == []
    frames, _ = _read(path, deinterlace="yes")
    assert len(frames) == len(kept)
    assert _comb(frames[3]) < _comb(kept[3]) / 3


def test_a_rotation_stored_with_one_frame_applies_to_the_whole_stream(
    kinds: ModuleType, clip_picture: Picture, tmp_path: Path
) -> None:
    # An SEI message "display orientation" (H.264, section D.1.26): 90 degrees counterclockwise, before the first frame.
    images = _images(clip_picture, 8)
    path = kinds.encode(tmp_path / "clip.h264", images, "libx264", bf="0")
    bits = "0" + "0" + "0" + f"{1 << 14:016b}" + "1" + "0"  # not canceled, no flips, a quarter turn, period ue(0)
    payload = int(bits.ljust(24, "0"), 2).to_bytes(3, "big")
    sei = b"\0\0\0\1\x06" + bytes([47, len(payload)]) + payload + b"\x80"
    data = path.read_bytes()
    place = data.index(b"\0\0\1\x65")
    path.write_bytes(data[:place] + sei[:-1] + b"\x80" + data[place:])
    frames, _ = _read(path)
    assert {frame.pixels.shape for frame in frames} == {(64, 48, 3)}


def test_file_names_that_look_like_addresses_or_options_are_read(
    kinds: ModuleType, clip_picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cam:1.mp4", "-dash.mp4", "a%03d.mp4", "50%.mp4"):
        kinds.encode(tmp_path / "clip.mp4", _images(clip_picture, 3), "mpeg4").rename(tmp_path / name)
        assert len(_read(name)[0]) == 3, name
    with pytest.raises(InputError, match="the source is an empty string; expected a video"):
        open_frames("")


def _coded(rgb: tuple[int, int, int], to: NDArray[np.float64], kr: float, kb: float) -> tuple[int, int, int]:
    """10-bit limited-range YCbCr of a BT.709 color in the gamut that the linear matrix `to` leads to."""
    r, g, b = np.clip(to @ (np.array(rgb) / 255) ** 2.4, 0, 1) ** (1 / 2.4)
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    return round(64 + 876 * y), round(512 + 896 * cb), round(512 + 896 * cr)


_PRIMARIES = {
    9: ("BT.2020", [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]], 0.2627, 0.0593),
    12: ("P3", [[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]], 0.2126, 0.0722),
}


@pytest.mark.parametrize("primaries", [9, 12])
def test_wide_sdr_colors_become_bt709(kinds: ModuleType, tmp_path: Path, primaries: int) -> None:
    name, matrix, kr, kb = _PRIMARIES[primaries]
    color = (190, 70, 40)
    planes = _coded(color, np.array(matrix), kr, kb)

    def setup(stream: av.VideoStream) -> None:
        context = stream.codec_context
        context.colorspace, context.color_trc, context.color_primaries = (9 if primaries == 9 else 1), 1, primaries

    image = kinds.solid(64, 48, planes, "yuv420p10le")
    path = kinds.encode(tmp_path / "clip.mkv", [image] * 2, "libx265", pix_fmt="yuv420p10le", setup=setup, **_X265)
    frames, reader = _read(path)
    assert np.abs(frames[0].pixels[24, 32].astype(int) - color).max() <= 4
    assert reader.notes == [f"{path}: the colors are converted from {name} to BT.709"]


_X265 = {"crf": "1", "x265-params": "log-level=none"}


def test_colors_that_only_the_container_names(kinds: ModuleType, tmp_path: Path) -> None:
    # The frame header of ProRes says "unspecified", the box in MOV: PQ, BT.2020.
    def setup(stream: av.VideoStream) -> None:
        context = stream.codec_context
        context.colorspace, context.color_trc, context.color_primaries = 9, 16, 9

    image = kinds.solid(64, 48, (480, 512, 512), "yuv422p10le")
    path = kinds.encode(tmp_path / "clip.mov", [image] * 2, "prores_ks", pix_fmt="yuv422p10le", setup=setup)
    _, reader = _read(path)
    assert reader.notes == [f"{path}: HDR (PQ, 1000 nits, BT.2020) is tone mapped to SDR (BT.709) by ITU-R BT.2390"]


def test_hdr_in_other_primaries(kinds: ModuleType, tmp_path: Path) -> None:
    saturation = {}
    for primaries, name in ((1, "BT.709"), (12, "P3"), (9, "BT.2020")):

        def setup(stream: av.VideoStream, primaries: int = primaries) -> None:
            context = stream.codec_context
            context.colorspace, context.color_trc, context.color_primaries = 9, 16, primaries

        image = kinds.solid(64, 48, (440, 490, 560), "yuv420p10le")
        path = kinds.encode(
            tmp_path / f"{name}.mkv", [image] * 2, "libx265", pix_fmt="yuv420p10le", setup=setup, **_X265
        )
        frames, reader = _read(path)
        assert f"HDR (PQ, 1000 nits, {name})" in reader.notes[0]
        saturation[name] = int(np.ptp(frames[0].pixels[24, 32]))
    assert saturation["BT.709"] < saturation["P3"] < saturation["BT.2020"]


def test_repeated_times_are_noted(kinds: ModuleType, clip_picture: Picture, tmp_path: Path) -> None:
    source = kinds.encode(tmp_path / "clip.avi", _images(clip_picture, 6), "mjpeg", pix_fmt="yuvj420p")
    path = tmp_path / "repeated.mkv"
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        copy = writer.add_stream_from_template(reader.streams.video[0])
        for index, packet in enumerate(p for p in reader.demux(video=0) if p.size):
            packet.pts = packet.dts = index // 2 * 2
            packet.stream = copy
            writer.mux(packet)
    frames, reopened = _read(path)
    assert [frame.pts for frame in frames] == [0, 1, 80, 81, 160, 161]
    assert reopened.notes == [f"{path}: 3 frames with the time of an earlier one; shown right after the frame before"]


def test_a_stream_of_one_frame_in_a_transport_stream(kinds: ModuleType, clip_picture: Picture, tmp_path: Path) -> None:
    # Without a count of frames in the header.
    path = kinds.two_streams(tmp_path / "clip.ts", [(1, (320, 240), False), (12, (64, 48), False)], clip_picture)
    frames, reader = _read(path)
    assert len(frames) == 12
    assert "stream 1 is read" in reader.notes[0]


def test_a_text_file_is_no_video(tmp_path: Path) -> None:
    # FFmpeg draws it as a terminal would.
    (tmp_path / "notes.txt").write_text("no video\n" * 500)
    with pytest.raises(InputError, match=r"notes\.txt: the file is text; expected a video"):
        open_frames(tmp_path / "notes.txt")


def test_a_change_of_the_sample_aspect_ratio_is_noted(kinds: ModuleType, clip_picture: Picture, tmp_path: Path) -> None:
    pieces = []
    for ratio in (Fraction(16, 11), Fraction(12, 11)):

        def setup(stream: av.VideoStream, ratio: Fraction = ratio) -> None:
            stream.codec_context.sample_aspect_ratio = ratio

        name = tmp_path / f"{ratio.numerator}.h264"
        pieces.append(kinds.encode(name, _images(clip_picture, 3), "libx264", setup=setup))
    path = kinds.joined(tmp_path / "clip.h264", pieces)
    frames, reader = _read(path)
    assert len(frames) == 6
    assert reader.info.sample_aspect_ratio == Fraction(16, 11)
    assert reader.notes == [f"{path}: the shape of the pixels changes (12:11, 16:11); that of the first frame is kept"]
