"""The Python API: masks equal to the formula, errors, and the end of all threads."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import amcnet
from amcnet import MaskFrame, Segmenter
from amcnet.runtime import mask_networks as module
from amcnet.runtime import segmenter as segmenter_module
from amcnet.runtime.errors import InputError, ModelFileError
from amcnet.runtime.flow.flow import DisFlow, Flow
from amcnet.runtime.frame import Frame
from amcnet.runtime.mask_networks import TwoStreamNetwork
from amcnet.runtime.preprocessing.resize import Bicubic, network_input
from amcnet.runtime.segmenter_plan import SegmenterPlan
from amcnet.runtime.stage_times import StageTimes
from amcnet.runtime.video.reader import open_frames

MakeClip = Callable[..., Path]
HANG_SECONDS = 300  # after which a wait for what never comes is given up
WHITE = np.full((384, 384, 3), 255, np.uint8)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = threading.enumerate()
    yield
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []


@pytest.fixture(scope="module")
def segmenter(amcnet_onnx: Path) -> Iterator[Segmenter]:
    with Segmenter.load(amcnet_onnx) as segmenter:
        yield segmenter


class _Recorded(Flow):
    """White images; remembers for which frames they were asked."""

    def __init__(self) -> None:
        self.pairs: list[tuple[int, int | None]] = []

    def render(self, frame: Frame, next_frame: Frame | None) -> NDArray[np.uint8]:
        self.pairs.append((frame.index, next_frame and next_frame.index))
        return WHITE


@pytest.mark.usefixtures("segmenter")  # so that the threads that OpenVINO starts at its first use are there before
def test_a_flow_network_is_loaded_once(
    make_clip: MakeClip, tmp_path: Path, amcnet_onnx: Path, pwcnet_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [make_clip(tmp_path / "a.mp4", frames=3), make_clip(tmp_path / "b.mp4", frames=1)]
    expected = []
    for clip in clips:
        with Segmenter.load(amcnet_onnx, flow=pwcnet_onnx) as alone:
            expected.append([m.probability for m in alone.video(clip)])
    load, loads = segmenter_module.load_flow_network, []

    def counted(*arguments: Any) -> Any:
        loads.append(arguments)
        return load(*arguments)

    monkeypatch.setattr(segmenter_module, "load_flow_network", counted)
    with Segmenter.load(amcnet_onnx, flow=pwcnet_onnx) as both:
        for clip, alone_probabilities in zip(clips, expected, strict=True):
            assert np.array_equal([m.probability for m in both.video(clip)], alone_probabilities)
    assert len(loads) == 1


def _frames(*sizes: tuple[int, int]) -> Iterator[Frame]:
    for index, (width, height) in enumerate(sizes):
        pixels = np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)
        yield Frame(pixels=pixels, index=index, pts=index, pts_seconds=index / 25)


def test_each_frame_of_a_clip_gets_its_mask(segmenter: Segmenter, tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip(tmp_path / "clip.mp4", pts=[0, 3000, 9000, 10_000, 40_000], size=(64, 48))
    answers = list(segmenter.video(clip))
    assert [m.index for m in answers] == [0, 1, 2, 3, 4]
    assert [m.pts_seconds for m in answers] == pytest.approx([0, 1 / 30, 0.1, 1 / 9, 4 / 9])
    for m in answers:
        assert isinstance(m, MaskFrame)
        assert m.mask.shape == m.probability.shape == (48, 64)
        assert m.probability.dtype == np.float32
        np.testing.assert_array_equal(m.mask, m.probability >= 0.5)
        assert 0.1 < m.mask.mean() < 0.9


def test_the_probability_equals_the_formula(segmenter: Segmenter, networks: ModuleType) -> None:
    # Of the network's own size nothing is resized, so that the formula is all there is.
    (frame,) = _frames((384, 384))
    (m,) = segmenter.masks([frame], _Recorded())
    assert m.frame is frame
    np.testing.assert_allclose(m.probability, networks.expected_mask(frame.pixels, WHITE), atol=1e-5)


@pytest.mark.parametrize("threshold", [0.3, 0.62])
def test_the_mask_is_the_probability_above_the_threshold(amcnet_onnx: Path, threshold: float) -> None:
    with Segmenter.load(amcnet_onnx, threshold=threshold) as segmenter:
        (m,) = segmenter.masks(_frames((40, 30)), _Recorded())
        np.testing.assert_array_equal(m.mask, m.probability >= threshold)
        assert 0 < m.mask.mean() < 1


class _Undecided:
    """A backend of the caller's own, which answers 0.5 everywhere."""

    name = "undecided"

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        assert {name: (value.shape, value.dtype.name) for name, value in inputs.items()} == {
            "image": ((1, 3, 384, 384), "float32"),
            "flow_image": ((1, 3, 384, 384), "float32"),
        }
        return {"mask": np.full((1, 1, 384, 384), 0.5, np.float32)}

    def close(self) -> None:
        self.name = "closed"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.mark.parametrize(("threshold", "inside"), [(0.5, True), (0.51, False)])
def test_a_probability_that_reaches_the_threshold_is_inside(amcnet_onnx: Path, threshold: float, inside: bool) -> None:
    backend = _Undecided()
    plan = SegmenterPlan.make(amcnet_onnx, threshold=threshold)
    with Segmenter(plan, module.TwoStreamNetwork(plan, backend)) as segmenter:
        (m,) = segmenter.masks(_frames((40, 30)), _Recorded())
    assert (m.mask == inside).all()
    assert backend.name == "closed"


def test_flow_is_computed_from_each_frame_to_the_next(segmenter: Segmenter) -> None:
    flow = _Recorded()
    assert [m.index for m in segmenter.masks(_frames(*[(8, 8)] * 4), flow)] == [0, 1, 2, 3]
    assert flow.pairs == [(0, 1), (1, 2), (2, 3), (3, None)]
    assert list(segmenter.masks([], flow)) == []


def test_masks_have_their_frames_sizes(segmenter: Segmenter) -> None:
    sizes = [(64, 48), (1, 1), (2, 2), (33, 77), (500, 3)]
    assert [m.mask.shape[::-1] for m in segmenter.masks(_frames(*sizes), _Recorded())] == sizes


def test_images_of_different_sizes_in_a_folder_are_segmented(segmenter: Segmenter, tmp_path: Path) -> None:
    for index, (width, height) in enumerate([(60, 40), (41, 61), (1, 1)]):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((height, width, 3), 90 * index, np.uint8))
    assert [m.mask.shape for m in segmenter.video(tmp_path)] == [(40, 60), (61, 41), (1, 1)]


def test_a_single_image_has_no_motion(segmenter: Segmenter, tmp_path: Path, networks: ModuleType) -> None:
    (frame,) = _frames((384, 384))
    cv2.imwrite(str(tmp_path / "one.png"), frame.pixels[..., ::-1])
    (m,) = segmenter.video(tmp_path / "one.png")
    np.testing.assert_allclose(m.probability, networks.expected_mask(frame.pixels, WHITE), atol=1e-5)


def test_video_accepts_the_arguments_of_open_frames(segmenter: Segmenter, tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=10)
    answers = list(segmenter.video(str(clip), start=1, frames=3, stride=4))
    assert [(m.index, m.pts_seconds) for m in answers] == [(0, 0.04), (1, 0.2), (2, 0.36)]


def test_video_passes_stream_and_deinterlacing_on(
    segmenter: Segmenter, tmp_path: Path, kinds: ModuleType, clip_picture: Callable[..., Any]
) -> None:
    two = kinds.two_streams(tmp_path / "two.mkv", [(3, (64, 48), True), (3, (96, 64), False)], clip_picture)
    (m,) = segmenter.video(two, video_stream=1, frames=1)
    assert m.mask.shape == (64, 96)
    interlaced = kinds.interlaced(tmp_path / "interlaced.mpg", frames=4)
    combed, whole = (next(segmenter.video(interlaced, deinterlace=mode)).frame.pixels for mode in ("no", "yes"))
    assert (combed != whole).any()
    with pytest.raises(InputError, match="video stream 2, expected 0 to 1"):
        next(segmenter.video(two, video_stream=2))
    with pytest.raises(InputError, match="deinterlace: got 'maybe'"):
        next(segmenter.video(two, deinterlace="maybe"))


def test_a_segmenter_segments_several_videos(segmenter: Segmenter, tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=4)
    first, second = ([m.probability for m in segmenter.video(clip)] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("taken", [1, 3])
@pytest.mark.parametrize("by", ["break", "close", "error"])
def test_a_video_left_early_ends_its_threads(
    segmenter: Segmenter, tmp_path: Path, make_clip: MakeClip, taken: int, by: str
) -> None:
    masks = segmenter.video(make_clip(tmp_path / "clip.mp4", frames=30))
    assert len(list(islice(masks, taken))) == taken
    if by == "close":
        masks.close()
    elif by == "error":
        with pytest.raises(RuntimeError, match="out of the caller"):
            masks.throw(RuntimeError("out of the caller"))
    else:
        del masks
    # `_no_thread_is_left` has the last word.


def test_an_error_is_raised_after_the_masks_of_earlier_frames(segmenter: Segmenter, tmp_path: Path) -> None:
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "3.png").write_bytes(b"no picture")
    masks = segmenter.video(tmp_path)
    assert [next(masks).index for _ in range(2)] == [0, 1]
    with pytest.raises(InputError, match=r"3\.png: the image cannot be decoded"):
        list(masks)


def test_all_stages_are_timed(segmenter: Segmenter) -> None:
    times = StageTimes()
    list(segmenter.masks(_frames(*[(8, 8)] * 4), _Recorded(), times))
    assert list(times.quantiles_ms()) == ["decode", "prepare", "flow", "network", "temporal", "upsample"]


def test_flow_by_pwcnet_and_from_files(
    amcnet_onnx: Path, pwcnet_onnx: Path, tmp_path: Path, make_clip: MakeClip
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=3)
    folder = tmp_path / "flow"
    folder.mkdir()
    for index in range(2):
        cv2.imwrite(str(folder / f"{index}.png"), np.zeros((10, 10, 3), np.uint8))
    means = {}
    for flow in ("dis", pwcnet_onnx, folder):
        with Segmenter.load(amcnet_onnx, flow=flow) as segmenter:
            means[flow] = np.mean([m.probability.mean() for m in segmenter.video(clip)])
            assert ("pwcnet" in segmenter.plan.files) == (flow == pwcnet_onnx)
    assert means[folder] < 0.2 < means["dis"]  # black flow pictures lower the tiny network's logits
    assert means[pwcnet_onnx] > 0.2


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, float("nan")])
def test_thresholds_out_of_range_are_refused(amcnet_onnx: Path, threshold: float) -> None:
    with pytest.raises(InputError, match=r"threshold is .*expected a number between 0 and 1"):
        Segmenter.load(amcnet_onnx, threshold=threshold)


def test_load_refuses_wrong_files_and_options(
    amcnet_onnx: Path, pwcnet_onnx: Path, tmp_path: Path, networks: ModuleType
) -> None:
    with pytest.raises(InputError, match="flow 'raft' is neither 'dis', a file of PWC-Net or RAFT, nor a folder"):
        Segmenter.load(amcnet_onnx, flow="raft")
    with pytest.raises(ModelFileError, match=r"pwcnet\.onnx holds the model 'pwcnet'; expected 'amcnet'"):
        Segmenter.load(pwcnet_onnx)
    with pytest.raises(ModelFileError, match=r"amcnet\.onnx holds the model 'amcnet'; expected 'pwcnet'"):
        Segmenter.load(amcnet_onnx, flow=amcnet_onnx)
    with pytest.raises(ModelFileError, match=r"gone\.onnx: no such file"):
        Segmenter.load(tmp_path / "gone.onnx")
    with pytest.raises(ModelFileError, match=r"bare\.onnx has no 'amcnet\.model' in its metadata"):
        Segmenter.load(networks.make_amcnet(tmp_path / "bare.onnx", metadata=False))


def test_masks_of_frames_use_the_flow_given_to_load(
    segmenter: Segmenter, amcnet_onnx: Path, tmp_path: Path, make_clip: MakeClip
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=4)
    with open_frames(clip) as reader:
        own = [m.probability for m in segmenter.masks(list(reader))]
    for ours, video in zip(own, segmenter.video(clip), strict=True):
        np.testing.assert_array_equal(ours, video.probability)
    plan = SegmenterPlan.make(amcnet_onnx)
    with (
        module.TwoStreamNetwork(plan, _Undecided()) as network,
        pytest.raises(ValueError, match="flow is None; expected a source of flow"),
    ):
        next(network.masks(_frames((4, 4)), None, StageTimes()))


def test_a_closed_segmenter_cannot_be_used(amcnet_onnx: Path) -> None:
    with Segmenter.load(amcnet_onnx) as segmenter:
        pass
    with pytest.raises(ValueError, match="is closed"):
        list(segmenter.masks(_frames((4, 4)), _Recorded()))


def test_the_package_exports_segmenter() -> None:
    assert amcnet.Segmenter is Segmenter
    with pytest.raises(AttributeError, match="'Segmentor'"):
        _ = amcnet.Segmentor


@pytest.mark.parametrize(("cores", "at_once", "threads"), [(1, 1, 1), (2, 2, 1), (8, 4, 2), (64, 4, 16)])
def test_cores_are_divided_among_concurrent_frames(
    cores: int, at_once: int, threads: int, amcnet_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "available_cores", lambda: cores)
    assert module.frames_at_once() == at_once
    with Segmenter.load(amcnet_onnx) as shared_out:
        assert f"{threads} thread" in shared_out.network.name


def test_masks_come_in_order_whichever_frame_is_ready_first(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = list(_frames(*[(40, 30)] * 9))
    expected = [m.probability for m in segmenter.masks(frames, _Recorded())]
    calls, overtaken = itertools.count(), threading.Event()

    def run_unevenly(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        call = next(calls)
        if call == 0:  # it ends after the one behind it, which can only be if the two run side by side
            assert overtaken.wait(HANG_SECONDS)
        outputs = run(inputs)
        if call == 1:
            overtaken.set()
        return outputs

    run = segmenter.network.backend.run
    monkeypatch.setattr(module, "available_cores", lambda: 4)
    monkeypatch.setattr(segmenter.network.backend, "run", run_unevenly)
    answers = list(segmenter.masks(frames, _Recorded()))
    assert overtaken.is_set()
    assert [m.index for m in answers] == list(range(9))
    for m, probability in zip(answers, expected, strict=True):
        np.testing.assert_array_equal(m.probability, probability)


class _Alternating(Flow):
    """White and black images in turn, which make the masks of a still scene flicker."""

    def render(self, frame: Frame, next_frame: Frame | None) -> NDArray[np.uint8]:
        return np.full((384, 384, 3), 255 * (frame.index % 2), np.uint8)


def test_the_temporal_filter_steadies_masks_that_flicker(segmenter: Segmenter, amcnet_onnx: Path) -> None:
    (picture,) = _frames((384, 384))
    frames = [replace(picture, index=index) for index in range(6)]
    filtered = np.array([m.probability for m in segmenter.masks(frames, _Alternating())])
    with Segmenter.load(amcnet_onnx, temporal=False) as unfiltered:
        raw = np.array([m.probability for m in unfiltered.masks(frames, _Alternating())])
    log_odds = np.log(raw / (1 - raw))
    expected = [log_odds[max(t - 1, 0) : t + 2].mean(axis=0) for t in range(6)]
    assert np.abs(np.diff(log_odds, axis=0)).min() > 0.5
    np.testing.assert_allclose(filtered, 1 / (1 + np.exp(-np.array(expected))), atol=1e-5)


def test_frames_whose_size_changes_are_filtered_too(segmenter: Segmenter, clip_picture: Callable[..., Any]) -> None:
    sizes = [(64, 48), (64, 48), (128, 96), (128, 96)]
    frames = [Frame(clip_picture(0, size), i, i, i / 25) for i, size in enumerate(sizes)]
    masks = list(segmenter.masks(frames))
    assert [m.mask.shape[::-1] for m in masks] == sizes


def test_other_sources_of_flow_are_filtered_along_dis(
    segmenter: Segmenter, amcnet_onnx: Path, tmp_path: Path, make_clip: MakeClip
) -> None:
    with open_frames(make_clip(tmp_path / "clip.mp4", frames=4, size=(100, 60))) as reader:
        frames = list(reader)
    with Segmenter.load(amcnet_onnx, temporal=False) as unfiltered:
        for flow in (_Recorded(), DisFlow((128, 96))):  # of which the second one has vectors on another grid
            filtered = [m.probability for m in segmenter.masks(frames, flow)]
            raw = [m.probability for m in unfiltered.masks(frames, flow)]
            assert all(np.abs(ours - theirs).max() > 0.01 for ours, theirs in zip(filtered, raw, strict=True))


def test_each_frame_is_reduced_once_for_flow_and_network(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    reduced: list[tuple[int, ...]] = []
    resize = Bicubic.__call__

    def counting(self: Bicubic, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.source_size != self.target_size:  # the flow image has the network's size
            reduced.append(image.shape)
        return resize(self, image)

    monkeypatch.setattr(Bicubic, "__call__", counting)
    images = np.random.default_rng(0).integers(0, 256, (5, 30, 40, 3), np.uint8)
    frames = [Frame(image, index=index, pts=index, pts_seconds=float(index)) for index, image in enumerate(images)]
    assert len(list(segmenter.masks(frames))) == 5
    assert reduced == [(30, 40, 3)] * 5


def test_the_network_gets_each_frame_resized_as_its_file_says(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = segmenter.network
    assert isinstance(network, TwoStreamNetwork)
    images: list[NDArray[Any]] = []
    run = network.backend.run
    monkeypatch.setattr(network.backend, "run", lambda inputs: images.append(inputs["image"]) or run(inputs))
    frames = list(_frames((100, 60), (100, 60), (60, 100)))
    for resize in ("bicubic-antialiased", "bilinear"):
        preprocessing = replace(segmenter.plan.file.preprocessing, resize=resize)
        monkeypatch.setattr(network, "_preprocessing", preprocessing)
        images.clear()
        assert len(list(segmenter.masks(frames))) == 3
        expected = sorted(network_input(frame.pixels, preprocessing).tobytes() for frame in frames)
        assert sorted(image.tobytes() for image in images) == expected
