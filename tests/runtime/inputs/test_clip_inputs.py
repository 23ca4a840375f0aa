"""Network inputs of clips equal those of the runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from amcnet import Segmenter
from amcnet.export.pipeline_module import preprocessing
from amcnet.runtime.errors import InputError
from amcnet.runtime.files.onnx_file import MODEL, PREPROCESSING, OnnxFile
from amcnet.runtime.inputs.clip_inputs import ClipInputs
from amcnet.runtime.video.reader import open_frames


@pytest.fixture
def clips(make_clip: Callable[..., Path], tmp_path: Path) -> list[Path]:
    return [make_clip(tmp_path / f"{name}.mp4", frames=5, moving=True) for name in ("first", "second")]


@pytest.mark.parametrize("by_pwcnet", [False, True])
def test_inputs_of_an_amcnet_equal_those_of_the_segmenter(
    clips: list[Path], amcnet_onnx: Path, pwcnet_onnx: Path, by_pwcnet: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow: str | Path = pwcnet_onnx if by_pwcnet else "dis"
    fed = []
    with Segmenter.load(amcnet_onnx, flow=flow) as segmenter:
        run = segmenter.network.backend.run
        monkeypatch.setattr(segmenter.network.backend, "run", lambda inputs: fed.append(inputs) or run(inputs))
        list(segmenter.video(clips[0]))
    fed = fed[:-1]  # the last frame reuses the flow of the pair before it
    found = [item.inputs for item in ClipInputs(OnnxFile.read(amcnet_onnx), clips[:1], flow=flow)]
    assert len(found) == len(fed) == 4
    key = lambda inputs: inputs["image"].tobytes()  # noqa: E731 - the segmenter's threads may come in any order
    for expected, inputs in zip(sorted(fed, key=key), sorted(found, key=key), strict=True):
        assert expected.keys() == inputs.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(inputs[name], value)


def test_inputs_of_a_pwcnet_are_pairs_of_its_size(clips: list[Path], pwcnet_onnx: Path) -> None:
    items = list(ClipInputs(OnnxFile.read(pwcnet_onnx), clips))
    assert [(Path(item.clip).stem, item.frame.index) for item in items] == [
        (name, index) for name in ("first", "second") for index in range(4)
    ]
    assert {value.shape for item in items for value in item.inputs.values()} == {(1, 3, 64, 128)}
    np.testing.assert_array_equal(items[0].inputs["next_frame"], items[1].inputs["frame"])


def test_inputs_of_a_raft_are_pairs_in_rgb(clips: list[Path], raft_onnx: Path) -> None:
    item = next(iter(ClipInputs(OnnxFile.read(raft_onnx), clips)))
    assert {value.shape for value in item.inputs.values()} == {(1, 3, 75, 101)}
    means = item.inputs["frame"].mean((0, 2, 3))
    np.testing.assert_allclose(means, item.frame.pixels.mean((0, 1)) / 255, atol=0.01)
    assert np.abs(means - means[::-1]).max() > 0.05, "colors that do not tell RGB from BGR"


def test_frames_can_be_chosen(clips: list[Path], amcnet_onnx: Path) -> None:
    file = OnnxFile.read(amcnet_onnx)
    assert [item.frame.index for item in ClipInputs(file, clips, every=2)] == [0, 2, 0, 2]
    chosen = ClipInputs(file, clips, chosen=[(str(clips[1]), 1), (str(clips[0]), 3)])
    for _ in range(2):  # as often as is needed
        assert [(Path(item.clip).stem, item.frame.index) for item in chosen] == [("first", 3), ("second", 1)]


def test_a_single_frame_has_no_motion(make_clip: Callable[..., Path], amcnet_onnx: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "one.mp4", frames=1)
    with pytest.raises(InputError, match="has one frame"):
        list(ClipInputs(OnnxFile.read(amcnet_onnx), [clip]))


def test_inputs_of_a_pipeline_are_unchanged_frames(clips: list[Path], networks: ModuleType, amcnet_onnx: Path) -> None:
    file = OnnxFile.read(amcnet_onnx)
    with open_frames(clips[0]) as reader:
        height, width = next(reader).pixels.shape[:2]

    def pipeline(size: tuple[int, int]) -> OnnxFile:
        stated = {MODEL: "pipeline", PREPROCESSING: preprocessing(size).to_json()}
        return OnnxFile(path=file.path, metadata=file.metadata | stated)

    with pytest.raises(InputError, match=rf"takes {width + 2}x{height}; .*pipeline --video-size {width}x{height}"):
        next(iter(ClipInputs(pipeline((width + 2, height)), clips)))
    item = next(iter(ClipInputs(pipeline((width, height)), clips)))
    assert item.inputs["frame"].dtype == item.inputs["next_frame"].dtype == np.uint8
    np.testing.assert_array_equal(item.inputs["frame"][0], item.frame.pixels)
