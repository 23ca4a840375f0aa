"""Flow images of a PWC-Net or RAFT file: channels, scale, and the repeated flow of the last frame."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from amcnet.runtime.errors import ModelFileError
from amcnet.runtime.files.onnx_file import OnnxFile
from amcnet.runtime.flow.flow_color import color_flow
from amcnet.runtime.flow.learned_flow import LearnedFlow
from amcnet.runtime.frame import Frame

SIZE = (96, 80)
WHITE = np.full((80, 96, 3), 255, np.uint8)


def _frame(pixels: NDArray[np.uint8], index: int = 0) -> Frame:
    return Frame(pixels=pixels, index=index, pts=index, pts_seconds=index / 25)


def _noise(seed: int, width: int = 128, height: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _pillow(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows_done = Image.fromarray(picture).resize((SIZE[0], picture.shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(rows_done.resize(SIZE, Image.Resampling.BICUBIC))


def _expected(networks: ModuleType, a: NDArray[np.uint8], b: NDArray[np.uint8], net: tuple[int, int]) -> object:
    """The picture for frames a, b by the tiny network's formula: u from blue, v from red."""
    height, width = a.shape[:2]
    grown = [cv2.resize(picture.astype(np.float32) / 255, net) for picture in (a, b)]
    growth = (grown[1] - grown[0]).reshape(net[1] // 4, 4, net[0] // 4, 4, 3).mean(axis=(1, 3))  # (h/4, w/4, 3) RGB
    flow = networks.FLOW_PX * growth[..., [2, 0]]  # px of the network's grid
    full = cv2.resize(flow, (width, height)) * np.array([width / net[0], height / net[1]], np.float32)
    return _pillow(color_flow(full.astype(np.float32)))


@pytest.mark.parametrize("size", [(128, 64), (200, 300), (37, 23)])
def test_the_flow_image_shows_the_networks_flow_in_pixels_of_the_frame(
    pwcnet_onnx: Path, networks: ModuleType, size: tuple[int, int]
) -> None:
    a, b = _noise(1, *size), _noise(2, *size)
    with LearnedFlow(OnnxFile.read(pwcnet_onnx), SIZE) as flow:
        picture = flow.render(_frame(a), _frame(b, 1))
    assert picture.shape == (80, 96, 3)
    difference = np.abs(picture.astype(int) - _expected(networks, a, b, (128, 64)))
    assert difference.max() <= 4  # a hue's number that rounds to the other side
    assert (difference > 1).mean() < 1e-3


@pytest.mark.parametrize("size", [(101, 75), (200, 300), (37, 23)])
def test_flow_of_raft_has_the_size_of_its_input(raft_onnx: Path, networks: ModuleType, size: tuple[int, int]) -> None:
    a, b = _noise(1, *size), _noise(2, *size)
    with LearnedFlow(OnnxFile.read(raft_onnx), SIZE) as flow:
        picture = flow.render(_frame(a), _frame(b, 1))
    grown = [cv2.resize(frame.astype(np.float32) / 255, (101, 75)) for frame in (a, b)]
    vectors = networks.FLOW_PX * (grown[1] - grown[0])[..., [0, 2]]  # u from red, v from blue
    full = cv2.resize(vectors, size) * np.array([size[0] / 101, size[1] / 75], np.float32)
    difference = np.abs(picture.astype(int) - _pillow(color_flow(full.astype(np.float32))))
    assert difference.max() <= 4
    assert (difference > 1).mean() < 1e-3


def test_each_frame_has_the_flow_to_the_next_and_the_last_repeats_it(pwcnet_onnx: Path) -> None:
    frames = [_frame(_noise(seed), seed) for seed in range(3)]
    file = OnnxFile.read(pwcnet_onnx)
    with LearnedFlow(file, SIZE) as flow:
        pictures = [flow.render(*pair) for pair in zip(frames, [*frames[1:], None], strict=True)]
    alone = []
    for first, second in itertools.pairwise(frames):
        with LearnedFlow(file, SIZE) as flow:
            alone.append(flow.render(first, second))
    np.testing.assert_array_equal(pictures, [*alone, alone[-1]])
    assert (alone[0] != alone[1]).any()


def test_a_single_frame_has_no_motion(pwcnet_onnx: Path) -> None:
    with LearnedFlow(OnnxFile.read(pwcnet_onnx), SIZE) as flow:
        np.testing.assert_array_equal(flow.render(_frame(_noise(1)), None), WHITE)


def test_a_still_scene_is_white(pwcnet_onnx: Path) -> None:
    with LearnedFlow(OnnxFile.read(pwcnet_onnx), SIZE) as flow:
        np.testing.assert_array_equal(flow.render(_frame(_noise(1)), _frame(_noise(1), 1)), WHITE)


def test_frames_of_different_sizes_are_accepted(pwcnet_onnx: Path) -> None:
    with LearnedFlow(OnnxFile.read(pwcnet_onnx), SIZE) as flow:
        picture = flow.render(_frame(_noise(1, 50, 70)), _frame(_noise(2, 31, 20), 1))
        assert picture.shape == (80, 96, 3)
        assert flow.render(_frame(_noise(3, 1, 1), 1), _frame(_noise(4, 2, 2), 2)).shape == (80, 96, 3)


def test_flow_that_is_not_finite_names_the_file(tmp_path: Path, networks: ModuleType) -> None:
    file = OnnxFile.read(networks.make_pwcnet(tmp_path / "pwc-nan.onnx", nan=True))
    with LearnedFlow(file, SIZE) as flow, pytest.raises(ModelFileError, match=r"pwc-nan\.onnx.*'flow'.*not finite"):
        flow.render(_frame(_noise(1)), _frame(_noise(2), 1))


def test_a_file_without_flow_is_refused(tmp_path: Path, networks: ModuleType) -> None:
    file = OnnxFile.read(networks.make_pwcnet(tmp_path / "pwc.onnx", output="disparity"))
    with pytest.raises(ModelFileError, match=r"pwc\.onnx has the inputs frame, next_frame and the outputs disparity"):
        LearnedFlow(file, SIZE)
