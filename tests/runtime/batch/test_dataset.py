"""Rows of a dataset through `SegmentVideos`, without Ray: it calls a plain object."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet import InputError, Segmenter, SegmentVideos

MakeClip = Callable[..., Path]


def _decode(counts: str, height: int, width: int) -> NDArray[np.bool_]:
    """COCO's compressed counts to a mask, by its definition."""
    lengths: list[int] = []
    value = place = 0
    for character in counts.encode():
        group = character - 48
        value |= (group & 31) << place
        place += 5
        if not group & 32:
            value -= (1 << place) if group & 16 else 0
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = place = 0
    pixels = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return pixels.reshape(width, height).T


def test_rows_have_masks_as_run_lengths(make_clip: MakeClip, tmp_path: Path, amcnet_onnx: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=5)
    segment = SegmentVideos(amcnet=str(amcnet_onnx), column="file", frames=4)
    row = segment({"file": str(clip), "label": 3})
    assert (row["label"], row["frames"], row["error"]) == (3, 4, "")
    with Segmenter.load(amcnet_onnx) as segmenter:
        expected = [m.mask for m in segmenter.video(clip, frames=4)]
    masks = [_decode(counts, row["height"], row["width"]) for counts in row["masks"]]
    assert np.array_equal(masks, expected)
    assert not np.all(expected), "a clip without an object would prove nothing"
    assert segment({"file": clip.read_bytes()})["masks"] == row["masks"]


def test_masks_are_written_to_files(make_clip: MakeClip, tmp_path: Path, amcnet_onnx: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=3)
    segment = SegmentVideos(amcnet=str(amcnet_onnx), output=str(tmp_path / "out"))
    row = segment({"path": str(clip)})
    assert row["masks"] == [f"{tmp_path}/out{clip}/masks/{index:05d}.png" for index in range(3)]
    mask = cv2.imread(row["masks"][2], cv2.IMREAD_UNCHANGED)
    assert mask is not None
    assert mask.shape == (row["height"], row["width"])
    assert segment({"path": str(clip)}) == row, "a row that Ray repeats gives the same"


def test_errors_are_in_their_row(tmp_path: Path, amcnet_onnx: Path) -> None:
    segment = SegmentVideos(amcnet=str(amcnet_onnx))
    row = segment({"path": str(tmp_path / "gone.mp4")})
    assert (row["frames"], row["masks"]) == (0, [])
    assert "there is no such file or folder" in row["error"]
    assert "cannot be opened" in segment({"path": b"no video"})["error"]
    with pytest.raises(InputError, match="there is no column 'path'; expected one of file"):
        segment({"file": "a.mp4"})


def test_the_model_is_that_of_a_segmenter(make_clip: MakeClip, tmp_path: Path, amcnet_onnx: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=2)
    SegmentVideos(model="base", output=str(tmp_path / "out"))({"path": str(clip)})
    report = json.loads(Path(f"{tmp_path}/out{clip}/run.json").read_text())
    assert report["settings"]["model"] == "base"
    with pytest.raises(InputError, match=r"model base was given, but .* is another network"):
        SegmentVideos(amcnet=str(amcnet_onnx), model="base")
