"""Files that were joined byte by byte: each of their recordings is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.runtime.video.joined_files import recordings
from amcnet.runtime.video.reader import open_frames

Picture = Callable[..., NDArray[np.uint8]]
_FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
_KINDS: list[tuple[str, str, dict[str, str]]] = [
    ("clip.flv", "flv", {}),
    ("clip.mp4", "libx264", {}),
    ("fragmented.mp4", "libx264", _FRAGMENTED),
    ("clip.wmv", "wmv2", {}),
    ("clip.mkv", "libx264", {}),
    ("live.mkv", "libx264", {"live": "1"}),  # without lengths
    ("clip.webm", "libvpx", {}),
]


@pytest.mark.parametrize(("name", "codec", "options"), _KINDS, ids=[name for name, _, _ in _KINDS])
def test_each_recording_is_read(
    kinds: ModuleType, clip_picture: Picture, tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    images = [clip_picture(index, (64, 48)) for index in range(12)]  # 0.48 s
    piece = kinds.encode(tmp_path / name, images, codec, container_options=options)
    joined = kinds.joined(tmp_path / f"joined-{name}", [piece] * 3)
    with open_frames(joined) as reader:
        frames = list(reader)
        assert reader.truncated is None
        assert reader.notes == [f"{joined}: 3 recordings, joined byte by byte, are read one after the other"]
        assert reader.info.expected_frames is None
    assert np.diff([frame.pts_seconds for frame in frames]) == pytest.approx([0.04] * 35, abs=0.0011)
    for frame, image in zip(frames, images * 3, strict=True):
        assert np.abs(frame.pixels.astype(float) - image).mean() < 20


def test_recordings_may_differ_and_the_last_one_be_damaged(
    kinds: ModuleType, clip_picture: Picture, tmp_path: Path
) -> None:
    small = kinds.encode(tmp_path / "a.mp4", [clip_picture(index, (64, 48)) for index in range(4)], "libx264")
    large = kinds.encode(tmp_path / "b.mp4", [clip_picture(index, (80, 60)) for index in range(4)], "mpeg4", rate=50)
    joined = tmp_path / "joined.mp4"
    joined.write_bytes(small.read_bytes() + large.read_bytes() + small.read_bytes()[:600])
    with open_frames(joined) as reader:
        frames: list[Any] = list(reader)
        assert reader.truncated is not None
    assert [frame.pixels.shape[1::-1] for frame in frames] == [(64, 48)] * 4 + [(80, 60)] * 4
    assert [frame.pts_seconds for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.18, 0.2, 0.22])


@pytest.mark.parametrize("name", ["flv", "mov,mp4,m4a,3gp,3g2,mj2", "asf", "matroska,webm", "avi"])
def test_bytes_without_a_header_are_one_recording(tmp_path: Path, name: str) -> None:
    path = tmp_path / "noise"
    for size in (0, 1, 7, 100, 5000):
        path.write_bytes(np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes())
        assert recordings(path, name) == [(0, size)]
