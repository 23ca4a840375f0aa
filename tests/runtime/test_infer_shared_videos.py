"""Each of the shared videos gives masks, or an error that names it and leaves no files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import pytest

from amcnet.runtime.errors import AmcNetError
from amcnet.runtime.infer import InferOptions, infer

MASKS = 36  # how many of the 60 files hold frames; test_reader_shared_videos.py says for each why it does or does not


def test_all_shared_videos_give_masks_or_an_error(
    shared: Callable[[str], Path], amcnet_onnx: Path, tmp_path: Path
) -> None:
    root = shared("data/videos")
    videos = sorted(path for path in root.rglob("*") if path.is_file() and path.name != "LICENSE")
    assert len(videos) == 60
    segmented = 0
    for number, video in enumerate(videos):
        output = tmp_path / str(number)
        try:
            report = infer(InferOptions(source=video, output=output, amcnet=amcnet_onnx, frames=3))
        except AmcNetError as error:
            said = str(error)
        else:
            said = ""
        if said:
            assert said.startswith(f"{video}: ")
            assert not output.exists()
            continue
        segmented += 1
        masks = sorted((output / "masks").iterdir())
        assert [path.name for path in masks] == [f"{index:05d}.png" for index in range(report["frames"])]
        assert report["complete"]
        assert 1 <= report["frames"] <= 3
        with av.open(str(output / "overlay.mp4")) as container:
            shown = [(frame.height, frame.width) for frame in container.decode(video=0)]
        assert shown == [cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape for path in masks], video
        assert sorted(path.name for path in output.iterdir()) == ["masks", "overlay.mp4", "run.json"]
    assert segmented == MASKS


@pytest.mark.slow
def test_a_size_that_changes_within_the_video_is_accepted(
    shared: Callable[[str], Path], amcnet_onnx: Path, tmp_path: Path
) -> None:
    video = shared("data/videos/vpf/test_res_change.h264")
    report = infer(InferOptions(source=video, output=tmp_path / "out", amcnet=amcnet_onnx, stride=8))
    sizes = [
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape for path in sorted((tmp_path / "out" / "masks").iterdir())
    ]
    assert len(sizes) == report["frames"] == 12
    assert set(sizes) == {(464, 848), (232, 424)}
    assert any("change size" in note for note in report["notes"])


def test_a_damaged_video_is_segmented_as_far_as_it_decodes(
    shared: Callable[[str], Path], amcnet_onnx: Path, tmp_path: Path
) -> None:
    video = shared("data/videos/decord/corrupted.mp4")
    report = infer(InferOptions(source=video, output=tmp_path / "out", amcnet=amcnet_onnx, start=26))
    assert (report["complete"], report["truncated"], report["frames"]) == (True, True, 23)
    assert "49 frames of 50 read" in report["notes"][0]
