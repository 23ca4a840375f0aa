"""The source of flow as a value: parsed once, opened for the frames that a reader selects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from amcnet.runtime.errors import InputError, ModelFileError
from amcnet.runtime.files.onnx_file import OnnxFile
from amcnet.runtime.flow.flow import DisFlow, PrecomputedFlow
from amcnet.runtime.flow.flow_source import FlowSource
from amcnet.runtime.flow.learned_flow import LearnedFlow
from amcnet.runtime.inputs.clip_inputs import ClipInputs
from amcnet.runtime.video.reader import open_frames
from amcnet.runtime.video.selection import Selection

SIZE = (8, 8)


def _gray_flow(folder: Path, count: int) -> Path:
    folder.mkdir()
    for index in range(count):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((8, 8, 3), index, np.uint8))
    return folder


def test_each_name_is_parsed_to_its_source(pwcnet_onnx: Path, raft_onnx: Path, tmp_path: Path) -> None:
    folder = _gray_flow(tmp_path / "flow", 1)
    assert FlowSource.parse("dis") == FlowSource(name="dis")
    assert FlowSource.parse(folder) == FlowSource(name=str(folder), folder=folder)
    parsed = FlowSource.parse(str(pwcnet_onnx))
    assert (parsed.name, parsed.folder) == (str(pwcnet_onnx), None)
    assert parsed.model is not None
    assert parsed.model.model == "pwcnet"
    raft = FlowSource.parse(raft_onnx)
    assert raft.model is not None
    assert raft.model.model == "raft"
    for source, kind in (
        (raft, LearnedFlow),
        (FlowSource(), DisFlow),
        (FlowSource.parse(folder), PrecomputedFlow),
        (parsed, LearnedFlow),
    ):
        with source.open(SIZE) as flow:
            assert type(flow) is kind


def test_unknown_sources_are_refused(amcnet_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="flow 'farneback' is neither 'dis', a file of PWC-Net or RAFT, nor a folder"):
        FlowSource.parse("farneback")
    with pytest.raises(ModelFileError, match="holds the model 'amcnet'; expected 'pwcnet' or 'raft'"):
        FlowSource.parse(amcnet_onnx)


def test_the_selection_of_the_reader_selects_flow_files(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=9)
    source = FlowSource.parse(_gray_flow(tmp_path / "flow", 9))
    with open_frames(clip, start=2, frames=2, stride=3) as reader, source.open(SIZE, reader) as flow:
        assert reader.selection == Selection(start=2, frames=2, stride=3)
        assert [int(flow.render(frame, None)[0, 0, 0]) for frame in reader] == [2, 5]


def test_a_wrong_number_of_files_is_known_before_the_first_frame_of_a_whole_video(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=9)
    source = FlowSource.parse(_gray_flow(tmp_path / "flow", 5))
    with open_frames(clip) as reader, pytest.raises(InputError, match="holds 5 flow files"):
        source.open(SIZE, reader)
    with open_frames(clip, frames=3) as reader, source.open(SIZE, reader) as flow:  # it is to end early
        assert [int(flow.render(frame, None)[0, 0, 0]) for frame in reader] == [0, 1, 2]


def test_frames_of_the_caller_take_the_flow_file_of_their_index(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    source = FlowSource.parse(_gray_flow(tmp_path / "flow", 3))
    with open_frames(make_clip(tmp_path / "clip.mp4", frames=3)) as reader, source.open(SIZE) as flow:
        assert [int(flow.render(frame, None)[0, 0, 0]) for frame in reader] == [0, 1, 2]


def test_a_folder_of_flow_is_refused_for_several_clips(tmp_path: Path, networks: ModuleType) -> None:
    file = OnnxFile.read(networks.make_amcnet(tmp_path / "amcnet.onnx"))
    with pytest.raises(InputError, match="is a folder, which belongs to one video"):
        ClipInputs(file, ["a.mp4", "b.mp4"], flow=_gray_flow(tmp_path / "flow", 1))
