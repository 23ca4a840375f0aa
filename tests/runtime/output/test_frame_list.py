"""Masks under the images' names, and the list that maps masks to frames."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from amcnet.runtime.errors import InputError
from amcnet.runtime.frame import SourceInfo
from amcnet.runtime.infer import InferOptions, infer
from amcnet.runtime.output import frame_list
from amcnet.runtime.output.frame_list import mask_names


def _info(*names: str) -> SourceInfo:
    return SourceInfo(name="shots", time_base=Fraction(1, 25), names=names)


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ([], ["00000.png", "00001.png"]),
        (["b7.jpg", "b8.jpg"], ["b7.png", "b8.png"]),
        (["b7.jpg", "b7.png"], ["b7.jpg.png", "b7.png.png"]),
        (["a.1.tif", "a.2.tif"], ["a.1.png", "a.2.png"]),
    ],
)
def test_masks_are_named_by_index_or_source(images: list[str], masks: list[str]) -> None:
    name = mask_names(_info(*images), "source")
    assert [name(0), name(1)] == masks
    assert [mask_names(_info(*images), "index")(index) for index in (0, 1)] == ["00000.png", "00001.png"]


def test_equal_names_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"shots: several images are named 1\.png, expected different names\. Fix: --names"
    ):
        mask_names(_info("a/1.png", "b/1.png"), "source")
    with pytest.raises(InputError, match="names: got 'frames', expected index or source"):
        mask_names(_info(), "frames")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "shots"
    folder.mkdir()
    for number in (3, 5, 10, 11):
        cv2.imwrite(str(folder / f"shot{number}.jpg"), np.full((48, 64, 3), number * 10, np.uint8))
    return folder


def _masks(output: Path) -> list[str]:
    return sorted(path.name for path in (output / "masks").iterdir())


def test_a_run_lists_the_source_of_each_mask(images: Path, amcnet_onnx: Path, tmp_path: Path) -> None:
    options = InferOptions(source=images, output=tmp_path / "out", amcnet=amcnet_onnx, start=1, names="source")
    report = infer(options)
    assert _masks(tmp_path / "out") == ["shot10.png", "shot11.png", "shot5.png"]
    assert report["frame_list"] == [
        {"mask": "shot5.png", "source": "shot5.jpg", "seconds": 0.04},
        {"mask": "shot10.png", "source": "shot10.jpg", "seconds": 0.08},
        {"mask": "shot11.png", "source": "shot11.jpg", "seconds": 0.12},
    ]
    assert any("the numbering has gaps" in note for note in report["notes"])
    assert not (tmp_path / "out" / "frames.csv").exists()

    numbered = infer(replace(options, names="index", overwrite=True))
    assert _masks(tmp_path / "out") == ["00000.png", "00001.png", "00002.png"]  # those of the earlier run are gone
    assert [row["source"] for row in numbered["frame_list"]] == ["shot5.jpg", "shot10.jpg", "shot11.jpg"]


def test_a_run_with_source_names_is_resumed(images: Path, amcnet_onnx: Path, tmp_path: Path) -> None:
    options = InferOptions(source=images, output=tmp_path / "out", amcnet=amcnet_onnx, names="source")

    def stop(info: SourceInfo, done: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        infer(options, stop)
    assert _masks(tmp_path / "out") == ["shot10.png", "shot3.png", "shot5.png"]
    report = infer(replace(options, resume=True))
    assert (report["frames"], report["computed_frames"]) == (4, 3)
    assert len(report["frame_list"]) == 4
    assert _masks(tmp_path / "out") == ["shot10.png", "shot11.png", "shot3.png", "shot5.png"]


def test_a_long_list_is_written_to_a_file(
    make_clip: Callable[..., Path], amcnet_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_list, "_LONGEST_IN_REPORT", 4)
    clip = make_clip(tmp_path / "clip.mp4", frames=12)
    options = InferOptions(source=clip, output=tmp_path / "out", amcnet=amcnet_onnx, start=2, stride=2)
    report = infer(options)
    assert report == json.loads((tmp_path / "out" / "run.json").read_text())
    assert report["frame_list"] == "frames.csv"
    rows = list(csv.DictReader((tmp_path / "out" / "frames.csv").read_text().splitlines()))
    assert [row["mask"] for row in rows] == _masks(tmp_path / "out")
    assert [int(row["source"]) for row in rows] == [2, 4, 6, 8, 10]
    assert [float(row["seconds"]) for row in rows] == pytest.approx([0.08, 0.16, 0.24, 0.32, 0.4])
    infer(replace(options, frames=3, overwrite=True))
    assert not (tmp_path / "out" / "frames.csv").exists()
