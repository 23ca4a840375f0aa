"""`calibrate`: number of decoded and converted frames, bounds of its arguments, files left by a failure."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from amcnet.benchmarks.demo_clip import write_clip
from amcnet.calibration import calibrate
from amcnet.calibration.held_out import split_held_out, with_held_out
from amcnet.engines.precision.convert import calibrate_int8
from amcnet.runtime.errors import InputError, ModelFileError
from amcnet.runtime.files.bundled_network import DEFAULT_AMCNET
from amcnet.runtime.files.onnx_file import MODEL, OnnxFile
from amcnet.runtime.inputs.clip_inputs import ClipInputs
from amcnet.runtime.inputs.stored_inputs import store_inputs
from amcnet.runtime.video import reader
from amcnet.runtime.video.undecoded_frame import UndecodedFrame

CLIP_FRAMES = 24


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(path, CLIP_FRAMES)
    return path


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many frames are decoded and how many are converted to RGB, from here on."""
    counts: Counter[str] = Counter()
    open_source = reader._open_source

    def opened(*arguments: Any) -> Any:
        raw = open_source(*arguments)
        frames = raw.frames

        def converted(frame: UndecodedFrame) -> NDArray[np.uint8]:
            counts["converted"] += 1
            return frame.to_rgb()

        def counting() -> Iterator[UndecodedFrame]:
            for frame in frames():
                counts["decoded"] += 1
                yield dataclasses.replace(frame, to_rgb=lambda frame=frame: converted(frame))

        monkeypatch.setattr(raw, "frames", counting)
        return raw

    monkeypatch.setattr(reader, "_open_source", opened)
    return counts


def test_clips_are_decoded_twice_and_only_chosen_frames_are_converted(
    clip: Path, tmp_path: Path, counted: Counter[str]
) -> None:
    done = calibrate(DEFAULT_AMCNET, tmp_path / "x.onnx", [clip], target="cpu", frames=4, min_iou=0)
    chosen = done.table.frames + done.accuracy["mask"]["frames"]
    assert chosen == 5
    assert counted["decoded"] <= 2 * CLIP_FRAMES
    # Each frame for its motion; then each chosen one, the one behind it, and the first, which opening a clip reads.
    assert counted["converted"] <= CLIP_FRAMES + 2 * chosen + 1


def test_frames_that_are_not_chosen_are_not_converted(clip: Path, counted: Counter[str]) -> None:
    file = OnnxFile.read(DEFAULT_AMCNET)
    every = {item.frame.index: item for item in ClipInputs(file, [clip])}
    counted.clear()
    chosen = [(str(clip), index) for index in (3, 4, 9)]
    found = list(ClipInputs(file, [clip], chosen=chosen))
    assert [item.frame.index for item in found] == [3, 4, 9]
    assert counted == {"decoded": 11, "converted": 6}  # 0 at opening; 3, 4, 5; 9, 10; and then no further
    for item in found:
        for name, values in item.inputs.items():
            np.testing.assert_array_equal(values, every[item.frame.index].inputs[name])


def test_stored_inputs_equal_those_computed(tmp_path: Path) -> None:
    made = [{"image": np.full((1, 3, 2, 2), index, np.float32), "size": np.array([index])} for index in range(3)]
    stored = store_inputs(iter(made), tmp_path)
    for _ in range(2):
        for expected, found in zip(made, stored, strict=True):
            assert list(found) == list(expected)
            for name, values in expected.items():
                np.testing.assert_array_equal(found[name], values)
                assert found[name].dtype == values.dtype
    assert "other" not in stored[0]


@pytest.mark.parametrize(("frames", "of_all"), [(1, 2), (4, 5), (5, 7), (100, 125)])
def test_one_frame_in_five_is_held_out(frames: int, of_all: int) -> None:
    assert with_held_out(frames) == of_all
    ranges, held_out = split_held_out(range(of_all))
    assert (len(ranges), len(held_out)) == (frames, of_all - frames)
    assert sorted([*ranges, *held_out]) == list(range(of_all))


def test_a_single_frame_is_used_for_both() -> None:
    assert split_held_out([7]) == ([7], [7])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames: got 0, expected 1 or more"),
        ({"min_iou": 98}, "min_iou: got 98, expected a number from 0 to 1"),
        ({"min_iou": float("nan")}, "min_iou: got nan, expected"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], message: str, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        calibrate(DEFAULT_AMCNET, tmp_path / "x.onnx", [clip], **options)
    assert not list(tmp_path.iterdir())


def test_raft_is_refused(chain_onnx: Path, clip: Path, tmp_path: Path) -> None:
    model = onnx.load(chain_onnx)
    next(entry for entry in model.metadata_props if entry.key == MODEL).value = "raft"
    onnx.save(model, tmp_path / "raft.onnx")
    message = r"raft\.onnx cannot be quantized: got a RAFT, expected .* Fix: use it in FP32, or in FP16: build-engine"
    with pytest.raises(ModelFileError, match=message):
        calibrate(tmp_path / "raft.onnx", tmp_path / "x.onnx", [clip])
    with pytest.raises(ModelFileError, match=message):
        calibrate_int8(OnnxFile.read(tmp_path / "raft.onnx"), tmp_path / "x.onnx", [], print)
    assert [path.name for path in tmp_path.iterdir()] == ["raft.onnx"]


@pytest.mark.slow
def test_a_file_that_could_not_be_compared_is_deleted(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("amcnet.export.compare.accuracy_gate.AccuracyGate.file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        calibrate(DEFAULT_AMCNET, tmp_path / "x.onnx", [clip], target="cpu", frames=1)
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.slow
@pytest.mark.parametrize(("min_iou", "bound"), [(0.0, 0.0), (None, 0.98), (0.5, 0.5)])
def test_a_minimum_iou_of_zero_is_not_the_default(
    min_iou: float | None, bound: float, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the search, where 0 once meant the default."""
    bounds = []

    def search(*_: object, bound: float, **__: object) -> None:
        bounds.append(bound)
        raise InterruptedError

    monkeypatch.setattr("amcnet.calibration.search_measure.search", search)
    with pytest.raises(InterruptedError):
        calibrate(DEFAULT_AMCNET, tmp_path / "x.onnx", [clip], target="cpu", frames=1, search=True, min_iou=min_iou)
    assert bounds == [bound]


@pytest.mark.slow
def test_the_example_of_the_docstring_runs(clip: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    done = calibrate(
        str(DEFAULT_AMCNET), str(tmp_path / "x.onnx"), [str(clip)], target="cpu", frames=1, on_progress=lines.append
    )
    assert done.path == tmp_path / "x.onnx"
    assert done.accuracy["mask"]["mean_iou"] >= done.accuracy["min_iou"]
    assert lines[0] == "selecting frames"
    assert any(line.startswith("measuring ranges, frame 1/") for line in lines)
