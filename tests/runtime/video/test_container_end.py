"""A file that ends inside a frame or a unit of its container is truncated, whatever its header gives."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from amcnet.runtime.errors import InputError
from amcnet.runtime.video.container_end import ends_inside_unit
from amcnet.runtime.video.reader import open_frames

# Formats without a length in their header (and some with one): codec, pixel format, options of the container.
_FORMATS: dict[str, tuple[str, str, dict[str, str]]] = {
    "fragmented.mp4": ("libx264", "yuv420p", {"movflags": "frag_every_frame+empty_moov"}),
    "faststart.mp4": ("libx264", "yuv420p", {"movflags": "faststart"}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "clip.y4m": ("wrapped_avframe", "yuv420p", {}),
    "clip.gif": ("gif", "rgb8", {}),
    "clip.png": ("apng", "rgb24", {"f": "apng"}),
    "live.mkv": ("libx264", "yuv420p", {"live": "1"}),
    "intra.mkv": ("mjpeg", "yuvj420p", {"live": "1"}),
    "clip.flv": ("flv", "yuv420p", {}),
    "clip.ts": ("mpeg2video", "yuv420p", {}),
    "clip.ivf": ("libvpx", "yuv420p", {}),
    "clip.mjpeg": ("mjpeg", "yuvj420p", {}),
    "clip.wmv": ("wmv2", "yuv420p", {}),
    "clip.mxf": ("mpeg2video", "yuv420p", {}),
    "clip.mpg": ("mpeg2video", "yuv420p", {}),
}


def _write(kinds: ModuleType, folder: Path, name: str) -> Path:
    codec, pix_fmt, options = _FORMATS[name]
    # Noise, so that the frames are most of the file.
    images = list(np.random.default_rng(0).integers(0, 256, (12, 120, 160, 3), np.uint8))
    made = folder / name.replace(".png", ".apng")
    kinds.encode(made, images, codec, pix_fmt=pix_fmt, container_options=options)
    return made.rename(folder / name)


@pytest.mark.parametrize("name", _FORMATS)
def test_a_cut_file_is_reported_as_truncated_and_a_complete_one_is_not(
    kinds: ModuleType, tmp_path: Path, name: str
) -> None:
    whole = _write(kinds, tmp_path, name)
    with open_frames(whole) as reader:
        assert len(list(reader)) == 12
        assert reader.truncated is None
    data = whole.read_bytes()
    cut = tmp_path / f"cut-{name}"
    for percent in (45, 60, 83):
        cut.write_bytes(data[: len(data) * percent // 100 | 1])
        with open_frames(cut) as reader:
            frames = len(list(reader))
            assert 0 < frames <= 12
            assert reader.truncated is not None, percent
            assert reader.truncated.startswith(f"{cut}: ")


def _ogg_page(flags: int, lacing: bytes) -> bytes:
    return b"OggS\0" + bytes([flags]) + bytes(20) + bytes([len(lacing)]) + lacing + bytes(sum(lacing))


def test_cut_ogg_files_are_found(tmp_path: Path) -> None:
    # Made by hand: the FFmpeg inside PyAV has no Theora encoder.
    path = tmp_path / "clip.ogv"
    first, last = _ogg_page(2, b"\x50"), _ogg_page(4, b"\xff\x10")
    for data, expected in (
        (first + last, False),
        (first + _ogg_page(0, b"\x20"), True),  # cut between two pages: the flag "end of stream" is missing
        (first + _ogg_page(0, b"\x20\xff"), True),  # the last packet goes on in a page that is missing
        (first + last[:-1], True),
        (first + last[:20], True),
    ):
        path.write_bytes(data)
        assert ends_inside_unit(path, "ogg") == expected


def test_cut_opendml_and_piped_avi_are_found(tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes, length: int | None = None) -> bytes:
        return name + (len(data) if length is None else length).to_bytes(4, "little") + data

    frames = chunk(b"00dc", bytes(100)) * 3
    path = tmp_path / "clip.avi"
    for length in (None, 0, 0xFFFFFFFF):  # a pipe cannot be written to twice, so that the length stays 0
        movi = chunk(b"LIST", b"movi" + frames, length)
        first = chunk(b"RIFF", b"AVI " + movi, length)
        second = chunk(b"RIFF", b"AVIX" + movi) if length is None else b""
        path.write_bytes(first + second)
        assert not ends_inside_unit(path, "avi")
        path.write_bytes((first + second)[:-7])
        assert ends_inside_unit(path, "avi")


@pytest.mark.parametrize(
    "kind", ["C420jpeg", "C422", "C444", "C420p10 XYSCSS=420P10", "Cmono", "Cmono12", "C444alpha", ""]
)
def test_cut_y4m_frames_of_each_layout_are_found(tmp_path: Path, kind: str) -> None:
    width, height = 7, 5
    chroma = 4 * 3
    samples: dict[str, float] = {
        "C420jpeg": 35 + 2 * chroma,
        "C422": 35 + 2 * 4 * 5,
        "C444": 35 * 3,
        "C420p10 XYSCSS=420P10": 2 * (35 + 2 * chroma),
        "Cmono": 35,
        "Cmono12": 70,
        "C444alpha": 35 * 4,
        "": 35 + 2 * chroma,
    }
    header = f"YUV4MPEG2 W{width} H{height} F25:1 Ip {kind}\n".encode()
    path = tmp_path / "clip.y4m"
    path.write_bytes(header + (b"FRAME\n" + bytes(int(samples[kind]))) * 3)
    assert not ends_inside_unit(path, "yuv4mpegpipe")
    for missing in (1, 20, int(samples[kind]) + 3):
        path.write_bytes((header + (b"FRAME\n" + bytes(int(samples[kind]))) * 3)[:-missing])
        assert ends_inside_unit(path, "yuv4mpegpipe")


def test_bytes_that_are_no_container_are_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "noise"
    rng = np.random.default_rng(0)
    from amcnet.runtime.video import container_end

    checks: dict[str, Any] = container_end._CHECKS
    for name in checks:
        for size in (0, 1, 7, 100, 5000):
            path.write_bytes(rng.integers(0, 256, size, np.uint8).tobytes())
            assert ends_inside_unit(path, name) in (True, False)
    assert not ends_inside_unit(path, "unheard of")
    with pytest.raises(InputError):
        open_frames(path)


def _flv_tag(data: bytes, last: int) -> int:
    position = 13
    for _ in range(last):
        position += 11 + int.from_bytes(data[position + 1 : position + 4], "big") + 4
    return position


def test_cuts_exactly_between_two_units(kinds: ModuleType, tmp_path: Path) -> None:
    images = list(np.random.default_rng(0).integers(0, 256, (12, 120, 160, 3), np.uint8))
    flv = kinds.encode(tmp_path / "clip.flv", images, "flv").read_bytes()
    mkv = kinds.encode(
        tmp_path / "clip.mkv", images, "mjpeg", pix_fmt="yuvj420p", container_options={"cluster_time_limit": "100"}
    ).read_bytes()
    cluster = bytes.fromhex("1f43b675")
    assert mkv.count(cluster) > 3
    for name, cut in (("cut.flv", flv[: _flv_tag(flv, 6)]), ("cut.mkv", mkv[: mkv.rindex(cluster)])):
        (tmp_path / name).write_bytes(cut)
        with open_frames(tmp_path / name) as reader:
            frames = len(list(reader))
            assert 0 < frames < 12
            assert reader.truncated == f"{tmp_path / name}: cut short: it ends after {frames} frames"


def test_av1_units(tmp_path: Path) -> None:
    delimiter, frame = b"\x12\0", b"\x32\x81\1" + bytes(129)  # type and "has a size", the length in LEB128, data
    extended = b"\x36\x10\4" + bytes(4)  # with the byte of a layer
    path = tmp_path / "clip.obu"
    for data, expected in (
        (delimiter + frame + extended, False),
        (delimiter + frame[:-1], True),
        (delimiter + frame[:2], True),
        (delimiter + extended[:2], True),
        (b"\x10" + bytes(20), False),  # without a size: not of this kind
    ):
        path.write_bytes(data)
        assert ends_inside_unit(path, "obu") == expected, data


@pytest.mark.parametrize(("first_bytes", "length"), [(b"\x1f\7\0\xbf", 144_000), (b"\x1f\7\0\x3f", 120_000)])
def test_dv_frames(tmp_path: Path, first_bytes: bytes, length: int) -> None:
    path = tmp_path / "clip.dv"
    for size, expected in ((2 * length, False), (2 * length - 1, True)):
        path.write_bytes(first_bytes + bytes(size - 4))
        assert ends_inside_unit(path, "dv") == expected
