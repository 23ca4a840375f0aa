"""Unusual videos made by program give frames and masks, or an error that names them and leaves no files.

test_reader_shared_videos.py and test_infer_shared_videos.py do the same with real ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from amcnet.runtime.errors import AmcNetError, InputError
from amcnet.runtime.infer import InferOptions, infer
from amcnet.runtime.video.reader import open_frames


def test_each_video_gives_its_frames_or_an_error(odd_videos: list[Any], capfd: pytest.CaptureFixture[str]) -> None:
    for video in odd_videos:
        if video.error:
            with pytest.raises(InputError, match=f"^{video.path}: .*{video.error}"):
                open_frames(video.path)
            continue
        with open_frames(video.path) as reader:
            frames = list(reader)
            assert (reader.truncated is not None) == video.damaged, video.path.name
            assert reader.info.expected_frames is None or reader.info.expected_frames >= len(frames)
        assert video.may_have(len(frames)), f"{video.path.name}: {len(frames)} frames"
        assert {frame.pixels.shape for frame in frames} == {(height, width, 3) for width, height in video.sizes}
        assert all(np.diff([frame.pts for frame in frames]) > 0)
    assert capfd.readouterr().err == ""


def test_each_video_gives_its_masks_or_writes_nothing(odd_videos: list[Any], amcnet_onnx: Path, tmp_path: Path) -> None:
    for video in odd_videos:
        output = tmp_path / video.path.name
        options = InferOptions(source=video.path, output=output, amcnet=amcnet_onnx)
        if video.error:
            with pytest.raises(AmcNetError, match=f"^{video.path}: "):
                infer(options)
            assert not output.exists()
            continue
        report = infer(options)
        assert report["complete"]
        assert bool(report["truncated"]) == video.damaged
        assert video.may_have(report["frames"])
        masks = sorted((output / "masks").iterdir())
        assert [path.name for path in masks] == [f"{index:05d}.png" for index in range(report["frames"])]
        shapes = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape for path in masks]
        assert set(shapes) == {(height, width) for width, height in video.sizes}
        with av.open(str(output / "overlay.mp4")) as container:
            shown = [(frame.height, frame.width) for frame in container.decode(video=0)]
        assert shown == [shapes[0]] * len(shapes), f"{video.path.name}: the overlay has one size, the first"
        assert any("change size" in note for note in report["notes"]) == (len(video.sizes) > 1)
        assert sorted(path.name for path in output.iterdir()) == ["masks", "overlay.mp4", "run.json"]
