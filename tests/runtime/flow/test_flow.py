"""Flow by DIS on known motion, and from files that the tests write."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from amcnet.runtime.errors import InputError
from amcnet.runtime.flow.flow import DisFlow, PrecomputedFlow, read_flo, resize_flow
from amcnet.runtime.flow.flow_color import color_flow
from amcnet.runtime.frame import Frame
from amcnet.runtime.preprocessing import reduced_frames
from amcnet.runtime.preprocessing.resize import Bicubic

SIZE = (384, 384)
WHITE = np.full((384, 384, 3), 255, np.uint8)


def _frame(pixels: NDArray[np.uint8], index: int = 0) -> Frame:
    return Frame(pixels=pixels, index=index, pts=index, pts_seconds=index / 25)


def _blank(index: int, width: int = 40, height: int = 30) -> Frame:
    return _frame(np.zeros((height, width, 3), np.uint8), index)


def _texture(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth noise at several scales, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), sigma) * sigma for sigma in (2, 5, 12)]
    picture = np.sum(layers, axis=0)
    picture = (picture - picture.min()) / max(np.ptp(picture), 1e-9) * 255
    return np.repeat(picture.astype(np.uint8)[..., None], 3, axis=2)


def _pair(width: int, height: int, dx_px: int, dy_px: int) -> tuple[Frame, Frame]:
    """Two views of one texture, whose content moves by (dx, dy) from the first to the second."""
    margin = 40
    texture = _texture(width + 2 * margin, height + 2 * margin)
    views = [
        texture[margin - dy : margin - dy + height, margin - dx : margin - dx + width]
        for dx, dy in ((0, 0), (dx_px, dy_px))
    ]
    return _frame(views[0], 0), _frame(views[1], 1)


def _inner(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    return flow[40:-40, 40:-40]


def _flo_bytes(flow: NDArray[np.float32]) -> bytes:
    height, width = flow.shape[:2]
    header = struct.pack("<fii", 202021.25, width, height)
    return header + b"".join(struct.pack("<ff", *vector) for row in flow.tolist() for vector in row)


def _random_flow(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 3, (height, width, 2)).astype(np.float32)


# DIS


@pytest.mark.parametrize(("dx_px", "dy_px"), [(5, 0), (0, -4), (-7, 3), (2, 9)])
def test_dis_recovers_a_translation(dx_px: int, dy_px: int) -> None:
    with DisFlow(SIZE) as source:
        flow = source.flow(*_pair(384, 384, dx_px, dy_px))
    assert flow.shape == (384, 384, 2)
    assert flow.dtype == np.float32
    error_px = np.linalg.norm(_inner(flow) - (dx_px, dy_px), axis=2)
    assert np.median(error_px) < 0.3


@pytest.mark.parametrize(("width", "height"), [(854, 480), (480, 854)])
def test_dis_vectors_are_in_pixels_of_the_video(width: int, height: int) -> None:
    flow = DisFlow(SIZE).flow(*_pair(width, height, 8, 8))
    u, v = np.median(_inner(flow), axis=(0, 1))
    assert np.degrees(np.arctan2(v, u)) == pytest.approx(45, abs=3)
    assert np.hypot(u, v) == pytest.approx(8 * np.sqrt(2), abs=0.3)


def test_dis_colors_the_flow_of_the_pair() -> None:
    frame, next_frame = _pair(854, 480, 8, 8)
    picture = DisFlow(SIZE).render(frame, next_frame)
    np.testing.assert_array_equal(picture, color_flow(DisFlow(SIZE).flow(frame, next_frame)))
    hue = np.median(picture[40:-40, 40:-40], axis=(0, 1))
    expected = color_flow(np.array([[[8, 8]]], np.float32))[0, 0].astype(float)
    paleness = 255 - hue
    np.testing.assert_allclose(paleness / paleness.max(), (255 - expected) / (255 - expected).max(), atol=0.1)


def test_dis_reduces_each_frame_once(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [_frame(_texture(100, 80, seed), seed) for seed in range(4)]
    reduced: list[int] = []
    reduce = reduced_frames.reduce_image
    monkeypatch.setattr(reduced_frames, "reduce_image", lambda *a: reduced.append(1) or reduce(*a))
    source = DisFlow(SIZE)
    in_a_row = [source.render(a, b) for a, b in itertools.pairwise(frames)]
    assert len(reduced) == 4
    for picture, (a, b) in zip(in_a_row, itertools.pairwise(frames), strict=True):
        np.testing.assert_array_equal(picture, DisFlow(SIZE).render(a, b))


def test_the_gray_image_of_dis_is_that_of_the_networks_input() -> None:
    frame = _frame(_texture(854, 480))
    motion = DisFlow(SIZE).motion(frame, None)
    np.testing.assert_array_equal(
        motion.gray, cv2.cvtColor(Bicubic((854, 480), SIZE)(frame.pixels), cv2.COLOR_RGB2GRAY)
    )


def test_dis_reuses_the_last_pair_for_the_last_frame() -> None:
    frame, next_frame = _pair(200, 100, 5, 0)
    source = DisFlow(SIZE)
    picture = source.render(frame, next_frame)
    assert not np.array_equal(picture, WHITE)
    np.testing.assert_array_equal(source.render(next_frame, None), picture)


def test_dis_of_a_single_image_is_white() -> None:
    np.testing.assert_array_equal(DisFlow(SIZE).render(_frame(_texture(64, 48)), None), WHITE)


def test_dis_of_a_scene_that_stands_still_is_white() -> None:
    pixels = _texture(64, 48)
    np.testing.assert_array_equal(DisFlow(SIZE).render(_frame(pixels, 0), _frame(pixels, 1)), WHITE)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 9), (11, 3), (17, 401)])
def test_dis_takes_frames_of_any_size(size: tuple[int, int]) -> None:
    source = DisFlow(SIZE)
    for seed in range(3):
        picture = source.render(_frame(_texture(*size, seed), seed), _frame(_texture(*size, seed + 1), seed + 1))
        assert picture.shape == (384, 384, 3)


def test_dis_stretches_a_next_frame_of_another_size() -> None:
    frame, next_frame = _pair(400, 300, 6, 0)
    halved = _frame(cv2.resize(next_frame.pixels, (200, 150), interpolation=cv2.INTER_AREA), 1)
    u, v = np.median(_inner(DisFlow(SIZE).flow(frame, halved)), axis=(0, 1))
    assert u == pytest.approx(6, abs=0.5)
    assert v == pytest.approx(0, abs=0.5)


def test_dis_takes_rotated_views() -> None:
    frame, next_frame = _pair(100, 60, 4, 0)
    turned = [_frame(np.rot90(f.pixels), f.index) for f in (frame, next_frame)]
    u, v = np.median(_inner(DisFlow(SIZE).flow(*turned)), axis=(0, 1))
    assert (u, v) == (pytest.approx(0, abs=0.3), pytest.approx(-4, abs=0.3))


def test_dis_end_point_error_on_true_flow(shared: Callable[[str], Path]) -> None:
    folder = shared("data/flow")
    errors_px = []
    for truth_file in sorted(folder.glob("middlebury_*_flow.npz")) + sorted(folder.glob("flyingchairs_*_flow.npz")):
        name = truth_file.name.removesuffix("_flow.npz")
        truth = np.load(truth_file)["flow"]
        frames = [
            _frame(np.asarray(Image.open(folder / f"{name}_{part}.png").convert("RGB")), index)
            for index, part in enumerate("ab")
        ]
        # Up to the video's grid; the vectors are in its pixels already.
        flow = cv2.resize(DisFlow(SIZE).flow(*frames), (truth.shape[1], truth.shape[0]))
        errors_px.append(float(np.nanmean(np.linalg.norm(flow - truth, axis=2))))
    middlebury_px, chairs_px = np.mean(errors_px[:3]), np.mean(errors_px[3:])
    print(f"DIS end-point error: Middlebury {middlebury_px:.2f} px, FlyingChairs {chairs_px:.2f} px")
    assert len(errors_px) == 9
    # Measured: 0.29 px and 3.89 px.
    assert middlebury_px < 0.35
    assert chairs_px < 4.3


# Files


def _write_pictures(folder: Path, count: int, size: tuple[int, int] = SIZE) -> list[NDArray[np.uint8]]:
    """flow1.png ... flowN.png, each of one color, whose names sort wrongly as plain text from ten on."""
    folder.mkdir(exist_ok=True)
    pictures = []
    for number in range(count):
        picture = np.full((size[1], size[0], 3), (number, 100, 255 - number), np.uint8)
        Image.fromarray(picture).save(folder / f"flow{number + 1}.png")
        pictures.append(picture)
    return pictures


def test_flo_files_are_read_as_they_were_written(tmp_path: Path) -> None:
    flow = _random_flow(5, 7)
    (tmp_path / "a.flo").write_bytes(_flo_bytes(flow))
    read = read_flo(tmp_path / "a.flo")
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, flow)


def test_vectors_marked_unknown_become_nan(tmp_path: Path) -> None:
    flow = _random_flow(3, 4)
    flow[1, 2] = 1.6666667e9, 1.6666667e9
    flow[0, 0, 1] = -2e9
    (tmp_path / "a.flo").write_bytes(_flo_bytes(flow))
    read = read_flo(tmp_path / "a.flo")
    assert np.isnan(read[1, 2]).all()
    assert np.isnan(read[0, 0]).all()
    assert np.isfinite(read).sum() == 20


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "expected the number 202021.25"),
        (b"PIEF" + _flo_bytes(_random_flow(2, 2))[4:], "expected the number 202021.25"),
        (_flo_bytes(_random_flow(2, 3))[:-1], "got 59 bytes, expected 60 for the 3x2"),
        (_flo_bytes(_random_flow(2, 3)) + b"\0", "got 61 bytes, expected 60"),
        (_flo_bytes(_random_flow(2, 3))[:9], "damaged"),
        (struct.pack("<fii", 202021.25, -1, -1) + bytes(8), "-1x-1"),
    ],
)
def test_a_damaged_flo_file_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "a.flo").write_bytes(content)
    with pytest.raises(InputError, match=complaint) as caught:
        read_flo(tmp_path / "a.flo")
    assert "a.flo" in str(caught.value)


def test_a_missing_flo_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_flo(tmp_path / "a.flo")


def test_flo_files_are_colored_at_their_own_size_and_then_resized(tmp_path: Path) -> None:
    flow = _random_flow(30, 40)
    (tmp_path / "0.flo").write_bytes(_flo_bytes(flow))
    picture = PrecomputedFlow(tmp_path, SIZE).render(_blank(0), None)
    colored = Image.fromarray(color_flow(flow)).resize((384, 30), Image.Resampling.BICUBIC)
    expected = np.asarray(colored.resize(SIZE, Image.Resampling.BICUBIC))
    np.testing.assert_allclose(picture.astype(int), expected, atol=1)


def test_flow_images_are_in_natural_order_and_the_last_frame_reuses_the_last(tmp_path: Path) -> None:
    pictures = _write_pictures(tmp_path, 11)
    source = PrecomputedFlow(tmp_path, SIZE, expected_frames=12)
    for index in range(12):
        picture = source.render(_blank(index), None if index == 11 else _blank(index + 1))
        np.testing.assert_array_equal(picture, pictures[min(index, 10)])


def test_a_file_for_every_frame_is_used_for_the_last_frame_too(tmp_path: Path) -> None:
    pictures = _write_pictures(tmp_path, 3)
    source = PrecomputedFlow(tmp_path, SIZE, expected_frames=3)
    np.testing.assert_array_equal(source.render(_blank(2), None), pictures[2])


def test_a_single_frame_at_the_end_reuses_the_pair_before_it(tmp_path: Path) -> None:
    pictures = _write_pictures(tmp_path, 4)
    source = PrecomputedFlow(tmp_path, SIZE, start=4, expected_frames=1)
    np.testing.assert_array_equal(source.render(_blank(0), None), pictures[3])


def test_files_follow_the_numbering_of_the_source(tmp_path: Path) -> None:
    pictures = _write_pictures(tmp_path, 20)
    source = PrecomputedFlow(tmp_path, SIZE, start=3, stride=4)
    for index in range(5):
        np.testing.assert_array_equal(source.render(_blank(index), _blank(index + 1)), pictures[3 + 4 * index])


def test_flow_images_of_another_size_are_resized(tmp_path: Path) -> None:
    pictures = _write_pictures(tmp_path, 2, size=(50, 20))
    picture = PrecomputedFlow(tmp_path, SIZE).render(_blank(1), None)
    assert picture.shape == (384, 384, 3)
    assert (picture == pictures[1][0, 0]).all()


@pytest.mark.parametrize(
    ("files", "start", "stride", "frames", "fits"),
    [
        (9, 0, 1, 10, True),
        (10, 0, 1, 10, True),
        (8, 0, 1, 10, False),
        (11, 0, 1, 10, False),
        (10, 3, 1, 7, True),
        (10, 3, 1, 6, False),
        # Of 10 or 11 or 12 frames, every third: 4.
        (9, 0, 3, 4, True),
        (12, 0, 3, 4, True),
        (8, 0, 3, 4, False),
        (13, 0, 3, 4, False),
    ],
)
def test_the_number_of_files_must_match(
    tmp_path: Path, files: int, start: int, stride: int, frames: int, fits: bool
) -> None:
    for number in range(files):
        (tmp_path / f"{number}.flo").touch()
    if fits:
        PrecomputedFlow(tmp_path, SIZE, start=start, stride=stride, expected_frames=frames)
        return
    source_frames = start + (frames - 1) * stride + 1
    with pytest.raises(InputError, match=rf"holds {files} flow files, the source {source_frames} .*one fewer"):
        PrecomputedFlow(tmp_path, SIZE, start=start, stride=stride, expected_frames=frames)


def test_missing_files_are_noticed_when_the_count_was_not_known(tmp_path: Path) -> None:
    _write_pictures(tmp_path, 3)
    source = PrecomputedFlow(tmp_path, SIZE)
    with pytest.raises(InputError, match="holds 3 flow files, the source at least 4 frames"):
        source.render(_blank(3), _blank(4))
    with pytest.raises(InputError, match="holds 3 flow files, the source at least 5 frames"):
        source.render(_blank(4), None)


def test_folders_without_flow_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "._0.flo").touch()
    with pytest.raises(InputError, match=r"2 files, but no flow; expected \.flo files"):
        PrecomputedFlow(tmp_path, SIZE)
    with pytest.raises(InputError, match="no such folder"):
        PrecomputedFlow(tmp_path / "absent", SIZE)


def test_a_flow_image_that_cannot_be_decoded_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"0\.png"):
        PrecomputedFlow(tmp_path, SIZE).render(_blank(0), None)


# Resizing


def test_resized_flow_points_to_the_same_places() -> None:
    flow = np.broadcast_to(np.array([3, -2], np.float32), (64, 128, 2))
    resized = resize_flow(flow, (854, 480))
    assert resized.shape == (480, 854, 2)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized[..., 0], 3 * 854 / 128, rtol=1e-6)
    np.testing.assert_allclose(resized[..., 1], -2 * 480 / 64, rtol=1e-6)


def test_resized_flow_has_half_pixel_centers() -> None:
    flow = np.zeros((1, 2, 2), np.float32)
    flow[0, 1, 0] = 4
    np.testing.assert_allclose(resize_flow(flow, (4, 1))[0, :, 0], [0, 2, 6, 8], atol=1e-5)
