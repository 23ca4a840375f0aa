"""`infer`: masks, overlay and report, interrupted and resumed runs, and errors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from amcnet.runtime.errors import AmcNetError, InputError, ModelFileError, OutputError
from amcnet.runtime.frame import SourceInfo
from amcnet.runtime.infer import InferOptions, infer
from amcnet.runtime.refine.crf import refine

MakeClip = Callable[..., Path]
FRAMES = 7
WITH_PROBABILITIES = ("masks", "probabilities", "overlay")
RATE = Fraction(25)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = threading.enumerate()
    yield
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []


@pytest.fixture(scope="module")
def clip(make_clip: MakeClip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven frames whose pixels are exact."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mkv", frames=FRAMES, size=(100, 60), codec="ffv1")


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven flow pictures of the network's size, of one color each, so that every frame has its own."""
    folder = tmp_path_factory.mktemp("flow")
    for index in range(FRAMES):
        cv2.imwrite(str(folder / f"{index}.png"), _flow_image(index)[..., ::-1])
    return folder


@pytest.fixture
def options(clip: Path, amcnet_onnx: Path, tmp_path: Path) -> InferOptions:
    return InferOptions(source=clip, output=tmp_path / "out", amcnet=amcnet_onnx)


@pytest.fixture(scope="module")
def uninterrupted(clip: Path, amcnet_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The masks and probabilities of an uninterrupted run with DIS flow, as bytes."""
    output = tmp_path_factory.mktemp("whole") / "out"
    infer(InferOptions(source=clip, output=output, amcnet=amcnet_onnx, write=WITH_PROBABILITIES))
    return _pictures(output)


def _flow_image(index: int) -> NDArray[np.uint8]:
    return np.full((384, 384, 3), [30 * index, 200, 255 - 30 * index], np.uint8) // (1 + index % 2)


def _pictures(output: Path) -> dict[str, bytes]:
    return {str(path.relative_to(output)): path.read_bytes() for path in sorted(output.glob("*/*.png"))}


def _read(path: Path) -> NDArray[Any]:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


def _report(output: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((output / "run.json").read_text())
    return report


def _times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [frame.pts * stream.time_base for frame in container.decode(stream)]


def _pillow(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows first, as all Pillows but the 13th do it."""
    rows_done = Image.fromarray(picture).resize((384, picture.shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(rows_done.resize((384, 384), Image.Resampling.BICUBIC))


def _enlarged(values: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """Bilinear with half-pixel centers, in plain numpy."""
    for axis, length in ((0, height), (1, width)):
        at = np.clip((np.arange(length) + 0.5) * values.shape[axis] / length - 0.5, 0, values.shape[axis] - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, values.shape[axis] - 1)
        share = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


def _stop_after(frames: int, error: type[BaseException] = KeyboardInterrupt) -> Callable[[SourceInfo, int], None]:
    def progress(_: SourceInfo, done: int) -> None:
        if done == frames:
            raise error

    return progress


def _stopped(options: InferOptions, frames: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        infer(options, _stop_after(frames))


# --- masks


@pytest.mark.parametrize("flow_files", [FRAMES, FRAMES - 1])
def test_every_mask_equals_a_reference_in_numpy_and_pillow(
    options: InferOptions, flow: Path, clip_picture: Callable[..., Any], networks: ModuleType, flow_files: int
) -> None:
    folder = Path(options.output).parent / "flow"
    shutil.copytree(flow, folder)
    for index in range(flow_files, FRAMES):
        (folder / f"{index}.png").unlink()
    with_progress: list[int] = []
    options = replace(options, flow=folder, write=WITH_PROBABILITIES, temporal=False)
    report = infer(options, lambda _, done: with_progress.append(done))
    output = Path(options.output)
    assert with_progress == list(range(1, FRAMES + 1))
    assert sorted(path.name for path in output.iterdir()) == ["masks", "overlay.mp4", "probabilities", "run.json"]
    for kind in ("masks", "probabilities"):
        names = sorted(path.name for path in (output / kind).iterdir())
        assert names == [f"{index:05d}.png" for index in range(FRAMES)]
    for index in range(FRAMES):
        # With one file fewer than frames the last frame has the flow of the pair before it.
        flow_image = _flow_image(min(index, flow_files - 1))
        small = networks.expected_mask(_pillow(clip_picture(index, (100, 60))), flow_image)
        expected = _enlarged(small, 100, 60)
        mask, probability = (_read(output / kind / f"{index:05d}.png") for kind in ("masks", "probabilities"))
        assert mask.dtype == np.uint8
        assert probability.dtype == np.uint16
        assert mask.shape == probability.shape == (60, 100)
        assert np.abs(probability / 65535 - expected).max() < 2e-3  # a gray level of the resize is 1.5e-3
        sure = np.abs(expected - 0.5) > 2e-3
        assert sure.mean() > 0.95
        np.testing.assert_array_equal(mask[sure], np.where(expected >= 0.5, 255, 0)[sure])
        assert set(np.unique(mask)) <= {0, 255}
    assert report["frames"] == report["computed_frames"] == FRAMES


def test_the_threshold_is_applied_to_the_probability(options: InferOptions) -> None:
    infer(replace(options, threshold=0.7, write=WITH_PROBABILITIES))
    for path in (Path(options.output) / "masks").iterdir():
        probability = _read(path.parent.parent / "probabilities" / path.name)
        sure = np.abs(probability - 0.7 * 65535) > 1
        np.testing.assert_array_equal((_read(path) == 255)[sure], (probability > 0.7 * 65535)[sure])
        assert 0 < (_read(path) == 255).mean() < 0.5


def test_the_crf_refines_the_probability(options: InferOptions, clip_picture: Callable[..., Any]) -> None:
    pytest.importorskip("pydensecrf", reason="the extra crf is not installed")
    report = infer(replace(options, crf=True, write=WITH_PROBABILITIES, frames=1))
    probability = _read(Path(options.output) / "probabilities" / "00000.png").astype(np.float32) / 65535
    mask = _read(Path(options.output) / "masks" / "00000.png") > 0
    expected = refine(clip_picture(0, (100, 60)), probability)
    assert (mask == expected).mean() > 0.99, "the probability was rounded to 16 bits on its way"
    assert (mask != (probability >= 0.5)).any(), "the CRF changes something here, or this would test nothing"
    assert "crf" in report["latency_ms"]


def test_the_threads_of_opencv_are_restored(options: InferOptions) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        infer(options)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_start_frames_and_stride_select_masks(options: InferOptions, flow: Path, tmp_path: Path) -> None:
    options = replace(options, flow=flow, temporal=False)  # which depends on the neighbors
    infer(options)
    part = replace(options, output=tmp_path / "part", start=1, frames=2, stride=3)
    assert infer(part)["frames"] == 2
    whole, taken = _pictures(Path(options.output)), _pictures(tmp_path / "part")
    assert taken == {"masks/00000.png": whole["masks/00001.png"], "masks/00001.png": whole["masks/00004.png"]}
    assert _times(tmp_path / "part" / "overlay.mp4") == [0, 3 / RATE]


def test_images_of_different_sizes_have_masks_of_their_sizes(options: InferOptions, tmp_path: Path) -> None:
    sizes = [(60, 40), (41, 61), (1, 1), (2, 2)]
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, (width, height) in enumerate(sizes):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((height, width, 3), 60 * index, np.uint8))
    report = infer(replace(options, source=folder))
    masks = sorted((Path(options.output) / "masks").iterdir())
    assert [_read(path).shape[::-1] for path in masks] == sizes
    assert ["60x40" in note for note in report["notes"] if "hardly anything moves" not in note] == [True]


# --- the overlay


def test_the_overlay_keeps_times_sound_and_orientation(
    options: InferOptions, tmp_path: Path, make_clip: MakeClip
) -> None:
    pts = [0, 1800, 9000, 9900, 30_000, 33_000]
    source = make_clip(tmp_path / "phone.mp4", pts=pts, size=(48, 80), rotation=90, audio=True)
    infer(replace(options, source=source))
    output = Path(options.output)
    assert [_read(path).shape for path in (output / "masks").iterdir()] == [(80, 48)] * len(pts)
    assert _times(output / "overlay.mp4") == [Fraction(time, 90_000) for time in pts]
    with av.open(str(output / "overlay.mp4")) as container:
        picture = next(container.decode(video=0))
        assert (picture.width, picture.height, picture.rotation) == (48, 80, 0)
        assert [stream.codec_context.name for stream in container.streams.audio] == ["aac"]


def test_the_overlay_shows_the_mask(options: InferOptions, clip_picture: Callable[..., Any]) -> None:
    infer(options)
    mask = _read(Path(options.output) / "masks" / "00003.png") == 255
    with av.open(str(Path(options.output) / "overlay.mp4")) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][3].astype(int)
    redder = (shown - clip_picture(3, (100, 60)))[..., 0] > 10
    dark = clip_picture(3, (100, 60))[..., 0] < 180  # elsewhere there is not much red to add
    assert (redder == mask)[dark].mean() > 0.9
    assert 0.1 < mask[dark].mean() < 0.9


# --- run.json


@pytest.mark.parametrize("model", ["pwcnet", "raft"])
def test_the_report_describes_the_run(model: str, options: InferOptions, request: pytest.FixtureRequest) -> None:
    flow: Path = request.getfixturevalue(f"{model}_onnx")
    report = infer(replace(options, flow=str(flow)))
    assert report == _report(Path(options.output))
    assert list(report) == [
        *("schema", "complete", "settings", "backend", "machine", "versions", "estimated_bytes"),
        *("truncated", "notes", "frames", "computed_frames", "seconds", "fps", "latency_ms"),
        *("frame_list", "outputs", "median_flow_px"),
    ]
    assert (report["complete"], report["truncated"], report["notes"]) == (True, False, [])
    files = report["settings"]["files"]
    assert list(files) == ["amcnet", model]
    shell = subprocess.run(["sha256sum", flow], capture_output=True, text=True, check=True).stdout
    assert files[model]["sha256"] == shell.split()[0]
    assert files["amcnet"] == files["amcnet"] | {
        "name": "amcnet.onnx",
        "checkpoint_sha256": "ab" * 32,
        "trained": True,
    }
    assert report["settings"]["source"] == str(options.source)
    assert report["fps"] == pytest.approx(FRAMES / report["seconds"], rel=0.02)
    stages = ["decode", "prepare", "flow", "network", "temporal", "upsample", "write masks", "write overlay"]
    assert list(report["latency_ms"]) == stages
    assert all(0 < stage["p50"] <= stage["p95"] < 10_000 for stage in report["latency_ms"].values())
    assert set(report["versions"]) == {"amcnet", "python", "numpy", "opencv", "pyav"}


def test_a_truncated_video_is_segmented_as_far_as_it_decodes(
    options: InferOptions, tmp_path: Path, make_clip: MakeClip
) -> None:
    whole = make_clip(tmp_path / "whole.mkv", frames=20).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 3 // 4])
    report = infer(replace(options, source=tmp_path / "cut.mkv"))
    assert (report["complete"], report["truncated"]) == (True, True)
    assert 0 < report["frames"] < 20
    assert len(_pictures(Path(options.output))) == report["frames"]
    assert any(str(report["frames"]) in note for note in report["notes"])


# --- interrupting and resuming


@pytest.mark.parametrize("frames", [1, 2, 4, FRAMES - 1, FRAMES])
def test_a_resumed_run_equals_an_uninterrupted_one(
    options: InferOptions, uninterrupted: dict[str, bytes], frames: int
) -> None:
    options = replace(options, write=WITH_PROBABILITIES)
    output = Path(options.output)
    _stopped(options, frames)
    stopped = _report(output)
    assert (stopped["complete"], stopped["frames"], stopped["computed_frames"]) == (False, frames, frames)
    done = _pictures(output)
    assert len(done) == 2 * frames
    assert done.items() <= uninterrupted.items()
    assert _times(output / "overlay.mp4") == [index / RATE for index in range(frames)]

    with_progress: list[int] = []
    report = infer(replace(options, resume=True), lambda _, done: with_progress.append(done))
    assert _pictures(output) == uninterrupted
    assert (report["complete"], report["frames"]) == (True, FRAMES)
    assert report["computed_frames"] == FRAMES - max(frames - 2, 0)
    assert with_progress == list(range(1, FRAMES + 1))
    assert _times(output / "overlay.mp4") == [index / RATE for index in range(FRAMES)]
    assert sorted(path.name for path in output.iterdir()) == ["masks", "overlay.mp4", "probabilities", "run.json"]


def test_a_mask_of_a_resumed_run_depends_on_the_frame_before(
    options: InferOptions, uninterrupted: dict[str, bytes]
) -> None:
    """If the temporal filter changed nothing in this clip, the tests of --resume would not test it."""
    infer(replace(options, write=WITH_PROBABILITIES, temporal=False))
    unfiltered = _pictures(Path(options.output))
    assert unfiltered.keys() == uninterrupted.keys()
    assert all(unfiltered[name] != uninterrupted[name] for name in unfiltered if name.startswith("probabilities"))


def test_a_run_stopped_twice_is_resumed(options: InferOptions, uninterrupted: dict[str, bytes]) -> None:
    options = replace(options, write=WITH_PROBABILITIES, resume=True)  # which a first run may be told too
    _stopped(options, 3)
    _stopped(options, 2)  # within those that are there already
    assert len(_pictures(Path(options.output))) == 6
    _stopped(options, 5)
    infer(options)
    assert _pictures(Path(options.output)) == uninterrupted


def test_a_killed_run_is_resumed(options: InferOptions, uninterrupted: dict[str, bytes]) -> None:
    options = replace(options, write=WITH_PROBABILITIES)
    output = Path(options.output)
    begun: dict[str, Any] = {}
    with pytest.raises(KeyboardInterrupt):
        infer(options, lambda _, done: begun.update(_report(output)) or _stop_after(5)(_, done))
    # What is there between two frames, and what a file system may leave of the last file when the power fails.
    assert begun["complete"] is False
    assert "frames" not in begun
    (output / "run.json").write_text(json.dumps(begun))
    (output / "overlay.mp4").rename(output / ".overlay.mp4.123.part")
    last = output / "masks" / "00004.png"
    last.write_bytes(last.read_bytes()[:-9])
    (output / "masks" / ".00005.png.123.part").write_bytes(b"half")
    infer(replace(options, resume=True))
    assert _pictures(output) == uninterrupted
    assert sorted(path.name for path in output.iterdir()) == ["masks", "overlay.mp4", "probabilities", "run.json"]
    assert len(list((output / "masks").iterdir())) == FRAMES


def test_resuming_a_complete_run_does_nothing(options: InferOptions) -> None:
    infer(options)
    before = {path: path.stat().st_mtime_ns for path in Path(options.output).rglob("*")}
    report = infer(replace(options, resume=True))
    assert {path: path.stat().st_mtime_ns for path in Path(options.output).rglob("*")} == before
    assert "complete already" in report["notes"][-1]
    (Path(options.output) / "masks" / "00002.png").unlink()
    assert infer(replace(options, resume=True))["frames"] == FRAMES  # complete it says, but it is not
    assert len(_pictures(Path(options.output))) == FRAMES


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("threshold", {"threshold": 0.25}),
        ("start", {"start": 1}),
        ("stride", {"stride": 2}),
        ("frames", {"frames": 5}),
        ("write", {"write": ("masks", "rle")}),
        ("write", {"write": WITH_PROBABILITIES}),
        ("temporal", {"temporal": False}),
    ],
)
def test_resuming_with_other_settings_is_refused(options: InferOptions, key: str, change: dict[str, Any]) -> None:
    _stopped(options, 2)
    before = _pictures(Path(options.output))
    with pytest.raises(InputError, match=rf"was begun with {key} .*, now it is .*; expected the same.*--overwrite"):
        infer(replace(options, resume=True, **change))
    assert _pictures(Path(options.output)) == before


def test_resuming_with_other_files_is_refused(
    options: InferOptions, clip: Path, flow: Path, tmp_path: Path, networks: ModuleType, make_clip: MakeClip
) -> None:
    source = shutil.copy(clip, tmp_path / "clip.mkv")
    options = replace(options, source=source)
    _stopped(options, 3)
    other = networks.make_amcnet(tmp_path / "amcnet.onnx", untrained=True)
    with pytest.raises(
        InputError, match=r"was begun with files\.amcnet\.sha256 '[0-9a-f]{64}', now it is '[0-9a-f]{64}'"
    ):
        infer(replace(options, resume=True, amcnet=other))
    with pytest.raises(InputError, match="was begun with flow 'dis', now it is"):
        infer(replace(options, resume=True, flow=flow))
    make_clip(Path(source), frames=FRAMES, size=(64, 64), codec="ffv1")
    with pytest.raises(InputError, match=r"has changed since .* was begun: bytes"):
        infer(replace(options, resume=True))


def test_resuming_images_of_another_size_is_refused(options: InferOptions, tmp_path: Path) -> None:
    def draw(width: int) -> None:
        for index in range(4):
            cv2.imwrite(str(tmp_path / "pictures" / f"{index}.png"), np.zeros((20, width, 3), np.uint8))

    (tmp_path / "pictures").mkdir()
    options = replace(options, source=tmp_path / "pictures")
    draw(30)
    _stopped(options, 3)
    draw(40)
    with pytest.raises(InputError, match=r"00000\.png is 30x20, its frame 40x20; .*--overwrite"):
        infer(replace(options, resume=True))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"settings": 3}'])
def test_resuming_with_an_unreadable_report_is_refused(options: InferOptions, text: str) -> None:
    _stopped(options, 2)
    (Path(options.output) / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json cannot be read.*--overwrite"):
        infer(replace(options, resume=True))
    assert infer(replace(options, overwrite=True))["complete"]


# --- existing files


def test_an_earlier_run_is_not_changed(options: InferOptions) -> None:
    infer(options)
    before = {path: path.stat().st_mtime_ns for path in Path(options.output).rglob("*")}
    with pytest.raises(OutputError, match=r"holds an earlier run; expected a new folder.*--resume.*--overwrite.*-o"):
        infer(options)
    assert {path: path.stat().st_mtime_ns for path in Path(options.output).rglob("*")} == before


def test_overwrite_leaves_nothing_of_the_earlier_run(options: InferOptions) -> None:
    infer(replace(options, write=WITH_PROBABILITIES))
    notes = Path(options.output) / "masks" / "notes.txt"
    notes.write_text("mine")
    overlays: list[bool] = []
    overlay = Path(options.output) / "overlay.mp4"
    report = infer(replace(options, overwrite=True, frames=2), lambda _, done: overlays.append(overlay.exists()))
    assert overlays == [False, False]  # a run that is killed now leaves no overlay that belongs to other masks
    assert list(_pictures(Path(options.output))) == ["masks/00000.png", "masks/00001.png"]
    assert report["frames"] == 2
    assert _times(Path(options.output) / "overlay.mp4") == [0, 1 / RATE]
    assert notes.read_text() == "mine"


def test_overwrite_keeps_the_earlier_run_until_the_first_mask(
    options: InferOptions, tmp_path: Path, networks: ModuleType
) -> None:
    infer(options)
    before = {path: path.read_bytes() for path in Path(options.output).rglob("*.*")}
    with pytest.raises(ModelFileError, match="not finite"):
        infer(replace(options, overwrite=True, amcnet=networks.make_amcnet(tmp_path / "nan.onnx", nan=True)))
    assert {path: path.read_bytes() for path in Path(options.output).rglob("*.*")} == before


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}])
def test_masks_of_others_are_never_replaced(options: InferOptions, flags: dict[str, bool]) -> None:
    theirs = Path(options.output) / "masks" / "00000.png"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"drawn by hand")
    with pytest.raises(OutputError, match=r"masks is in the way, and there is no run\.json.*another with -o"):
        infer(replace(options, **flags))
    assert theirs.read_bytes() == b"drawn by hand"


# --- wrong input


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source": "gone.mp4"}, r"gone\.mp4: there is no such file"),
        ({"source": "{tmp}/empty.mp4"}, r"empty\.mp4: the file is empty"),
        ({"source": "{tmp}/text.mp4"}, r"text\.mp4: the video cannot be opened"),
        ({"source": "{tmp}/folder"}, "folder: the folder holds no images"),
        ({"source": "{tmp}/*.tiff"}, "the pattern matches no file"),
        ({"source": "{tmp}/broken.png"}, r"broken\.png: the image cannot be decoded"),
        ({"start": 99}, "start 99 is beyond the end; there are 7 frames"),
        ({"start": -1}, "expected start 0 or more"),
        ({"frames": 0}, "expected start 0 or more, frames and stride 1 or more"),
        ({"stride": 0}, "expected start 0 or more, frames and stride 1 or more"),
        ({"threshold": 1.5}, r"threshold is 1\.5; expected"),
        ({"flow": "raft"}, "flow 'raft' is neither"),
        ({"flow": "gone.onnx"}, r"gone\.onnx: no such file"),
        ({"flow": "{tmp}/folder"}, "folder holds 0 files, but no flow"),
        ({"flow": "{tmp}/disparity.onnx"}, "outputs disparity; expected .* and flow"),
        ({"flow": "{tmp}/nan-flow.onnx"}, r"nan-flow\.onnx: the output 'flow' has values that are not finite"),
        ({"amcnet": "{tmp}/nan.onnx"}, r"nan\.onnx: the output 'mask' has values that are not finite"),
        ({"amcnet": "{tmp}/nan-flow.onnx"}, "holds the model 'pwcnet'; expected 'amcnet'"),
        ({"amcnet": "{tmp}/bare.onnx"}, r"bare\.onnx has no 'amcnet\.model' in its metadata"),
        ({"amcnet": "{tmp}/salience.onnx"}, "outputs salience; expected .* and mask"),
        ({"amcnet": "{tmp}/gray.onnx"}, r"gray\.onnx cannot be run on image float32 \(1, 3, 384, 384\)"),
        ({"amcnet": "{tmp}/text.mp4"}, r"text\.mp4 is not an ONNX file"),
    ],
)
def test_wrong_inputs_are_refused_and_write_nothing(
    options: InferOptions, tmp_path: Path, networks: ModuleType, change: dict[str, Any], says: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is no video " * 50)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    networks.make_amcnet(tmp_path / "nan.onnx", nan=True)
    networks.make_amcnet(tmp_path / "bare.onnx", metadata=False)
    networks.make_amcnet(tmp_path / "salience.onnx", output="salience")
    networks.make_amcnet(tmp_path / "gray.onnx", channels=1)
    networks.make_pwcnet(tmp_path / "nan-flow.onnx", nan=True)
    networks.make_pwcnet(tmp_path / "disparity.onnx", output="disparity")
    change = {
        key: value.replace("{tmp}", str(tmp_path)) if isinstance(value, str) else value for key, value in change.items()
    }
    with pytest.raises(AmcNetError, match=says):
        infer(replace(options, **change))
    assert not Path(options.output).exists()


def test_a_damaged_image_keeps_the_masks_before_it(options: InferOptions, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for index in range(6):
        cv2.imwrite(str(tmp_path / "pictures" / f"{index}.png"), np.full((20, 30, 3), 40 * index, np.uint8))
    good = (tmp_path / "pictures" / "4.png").read_bytes()
    (tmp_path / "pictures" / "4.png").write_bytes(good[:40])
    options = replace(options, source=tmp_path / "pictures")
    with pytest.raises(InputError, match=r"4\.png: the image cannot be decoded"):
        infer(options)
    report = _report(Path(options.output))
    assert report["complete"] is False
    assert report["frames"] == len(_pictures(Path(options.output))) == len(_times(Path(options.output) / "overlay.mp4"))
    assert report["frames"] == 3  # the mask of picture 3 needs the flow to picture 4
    (tmp_path / "pictures" / "4.png").write_bytes(good)
    assert infer(replace(options, resume=True))["frames"] == 6


# --- output that cannot be written


def test_a_file_in_place_of_the_folder_is_refused(options: InferOptions, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match=r"cannot write .*file.*: Not a directory; .*-o"):
            infer(replace(options, output=output))
    assert (tmp_path / "file").read_text() == "here"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(options: InferOptions, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match=r"cannot write .*Permission denied"):
        infer(replace(options, output=tmp_path / "locked" / "out"))


_INFER_WITHOUT_SPACE = """
import resource, sys
from amcnet import OutputError
from amcnet.runtime.infer import InferOptions, infer
source, amcnet, output, limit = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    infer(InferOptions(source=source, output=output, amcnet=amcnet))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of a file's size")
@pytest.mark.parametrize(("limit", "file"), [(0, "run.json"), (5_000, "overlay.mp4")])
def test_a_full_disk_leaves_a_resumable_run(options: InferOptions, tmp_path: Path, limit: int, file: str) -> None:
    source = tmp_path / "noise"
    source.mkdir()
    for index in range(30):
        noise = np.random.default_rng(index).integers(0, 256, (96, 96, 3), dtype=np.uint8)
        cv2.imwrite(str(source / f"{index}.png"), noise)
    arguments = [str(value) for value in (source, options.amcnet, options.output, limit)]
    command = [sys.executable, "-c", _INFER_WITHOUT_SPACE, *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    output = Path(options.output)
    assert said.startswith(f"cannot write {output / file}: File too large; ")
    if limit == 0:
        assert not output.exists()
    else:
        assert {path.name for path in output.iterdir()} == {"masks", "run.json"}
        report = _report(output)
        assert report["complete"] is False
        masks = sorted((output / "masks").iterdir())
        assert all(_read(path).shape == (96, 96) for path in masks)
        assert len(masks) - report["frames"] in (0, 1)
        assert infer(replace(options, source=source, resume=True))["frames"] == 30


# --- two processes on one folder


@pytest.mark.skipif(sys.platform == "win32", reason="there is no flock")
@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}])
def test_a_folder_in_use_is_refused(options: InferOptions, flags: dict[str, bool]) -> None:
    errors: list[str] = []

    def second(_: SourceInfo, done: int) -> None:
        if done == 2:
            before = _pictures(Path(options.output))
            with pytest.raises(OutputError) as raised:
                infer(replace(options, **flags))  # type: ignore[arg-type]
            assert _pictures(Path(options.output)) == before
            errors.append(str(raised.value))

    assert infer(options, second)["complete"]
    assert f"is in use by process {os.getpid()} on " in errors[0]
    assert sorted(path.name for path in Path(options.output).iterdir()) == ["masks", "overlay.mp4", "run.json"]


@pytest.mark.parametrize("change", ["bytes", "modified", "ends_sha256"])
def test_resuming_with_a_replaced_source_is_refused(
    options: InferOptions, clip: Path, tmp_path: Path, change: str
) -> None:
    source = Path(shutil.copy2(clip, tmp_path / "clip.mkv"))
    options = replace(options, source=source)
    _stopped(options, 3)
    times, data = source.stat(), bytearray(source.read_bytes())
    if change == "ends_sha256":
        data[-1] ^= 1
    source.write_bytes(data + bytes(change == "bytes"))
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns + 1_000_000 * (change == "modified")))
    says = rf"clip\.mkv has changed since .*out was begun: {change} was .*, now it is .*Fix: put .*or start again with"
    with pytest.raises(InputError, match=says):
        infer(replace(options, resume=True))
    source.write_bytes(clip.read_bytes())
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert infer(replace(options, resume=True))["complete"]
