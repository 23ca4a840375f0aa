"""Frames as they arrive: one frame of delay, nothing queued, and arrays of the usual kinds."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet import Frame, Segmenter
from amcnet.runtime.errors import BackendError, InputError
from amcnet.runtime.stage_times import StageTimes

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def segmenter(amcnet_onnx: Path) -> Iterator[Segmenter]:
    with Segmenter.load(amcnet_onnx, temporal=False) as segmenter:
        yield segmenter


def _images(count: int) -> list[NDArray[np.uint8]]:
    return [np.roll(RGB, 3 * index, axis=1) for index in range(count)]


def test_stream_gives_the_masks_of_masks(segmenter: Segmenter) -> None:
    images, times = _images(5), StageTimes()
    frames = [Frame.from_array(image, index=index, pts_seconds=index / 25) for index, image in enumerate(images)]
    for streamed, expected in zip(segmenter.stream(images, times=times), segmenter.masks(frames), strict=True):
        assert streamed.index == expected.index
        np.testing.assert_array_equal(streamed.frame.pixels, expected.frame.pixels)
        np.testing.assert_array_equal(streamed.probability, expected.probability)
    assert set(times.quantiles_ms()) == {"decode", "flow", "prepare", "network", "upsample"}


def test_streamed_masks_are_not_filtered_in_time(amcnet_onnx: Path, segmenter: Segmenter) -> None:
    """The temporal filter needs one frame more, and a camera's mask is to come with the next frame."""
    images = _images(4)
    with Segmenter.load(amcnet_onnx) as filtering:
        streamed = [m.probability for m in filtering.stream(images)]
    for ours, unfiltered in zip(streamed, segmenter.stream(images), strict=True):
        np.testing.assert_array_equal(ours, unfiltered.probability)


def test_a_mask_needs_only_the_next_frame(segmenter: Segmenter) -> None:
    asked: list[int] = []

    def camera() -> Iterator[NDArray[np.uint8]]:
        for index, image in enumerate(_images(4)):
            asked.append(index)
            yield image

    threads = threading.active_count()
    delays = []
    for m in segmenter.stream(camera()):
        delays.append(asked[-1] - m.index)
        assert threading.active_count() == threads
    assert delays == [1, 1, 1, 0]
    assert asked == [0, 1, 2, 3]


def test_a_buffer_may_be_used_again(segmenter: Segmenter) -> None:
    def camera() -> Iterator[NDArray[np.uint8]]:
        buffer = np.empty_like(RGB)
        for image in _images(4):
            buffer[:] = image
            yield buffer

    for reused, fresh in zip(segmenter.stream(camera()), segmenter.stream(_images(4)), strict=True):
        np.testing.assert_array_equal(reused.frame.pixels, fresh.frame.pixels)
        np.testing.assert_array_equal(reused.probability, fresh.probability)


def test_arrays_are_timed_from_0_and_frames_keep_their_times(segmenter: Segmenter) -> None:
    seconds = [m.pts_seconds for m in segmenter.stream(_images(3))]
    assert seconds[0] == 0
    assert sorted(set(seconds)) == seconds
    own = [Frame.from_array(image, index=index, pts_seconds=7.5 + index) for index, image in enumerate(_images(3))]
    assert [m.pts_seconds for m in segmenter.stream(own)] == [7.5, 8.5, 9.5]


def test_an_empty_stream_and_a_single_frame(segmenter: Segmenter) -> None:
    assert list(segmenter.stream([])) == []
    assert len(list(segmenter.stream([RGB]))) == 1


@pytest.mark.parametrize("crop", [np.s_[:, :], np.s_[::-1, ::2], np.s_[5:40, 3:50]], ids=["whole", "strides", "part"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", ["gray", "rgb", "bgr", "rgba", "bgra"])
def test_arrays_of_all_supported_types_are_accepted(layout: str, dtype: Any, crop: Any) -> None:
    values = RGB.astype(dtype) * (257 if dtype == np.uint16 else 1)
    alpha = np.full((*RGB.shape[:2], 1), 9, dtype)
    made = {
        "gray": values[..., 0],
        "rgb": values,
        "bgr": values[..., ::-1],
        "rgba": np.concatenate([values, alpha], axis=2),
        "bgra": np.concatenate([values[..., ::-1], alpha], axis=2),
    }[layout]
    order = "bgr" if layout.startswith("bgr") else "rgb"
    frame = Frame.from_array(made[crop], index=3, pts_seconds=0.25, order=order)
    expected = RGB[..., :1].repeat(3, axis=2) if layout == "gray" else RGB
    np.testing.assert_array_equal(frame.pixels, expected[crop])
    assert frame.pixels.flags.c_contiguous
    assert not np.shares_memory(frame.pixels, made)
    assert (frame.index, frame.pts, frame.pts_seconds) == (3, 250_000, 0.25)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (RGB / 255, r"frame 1: a frame is float64 \(48, 64, 3\); expected uint8 or uint16 of .* Fix for values"),
        (RGB.astype(np.int32), r"frame 1: a frame is int32"),
        (RGB[..., :1], r"frame 1: .* Fix: frame\[\.\.\., 0\]"),
        (np.moveaxis(RGB, 2, 0), r"frame 1: .* Fix: frame\.transpose\(1, 2, 0\)"),
        (RGB > 9, r"frame 1: a frame is bool .* Fix: 255 \* frame"),
        (RGB[..., :2], r"frame 1: a frame is uint8 \(48, 64, 2\)"),
        (RGB[None], r"frame 1: a frame is uint8 \(1, 48, 64, 3\)"),
        (RGB[:0], r"frame 1: a frame has the shape \(0, 64, 3\); expected at least one pixel"),
        (RGB.tolist(), r"frame 1: a frame is a builtins\.list; expected a numpy array. Fix: np\.asarray"),
        (None, r"frame 1: a frame is a builtins\.NoneType"),
    ],
)
def test_other_arrays_are_refused(segmenter: Segmenter, array: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        list(segmenter.stream([RGB, array]))


def test_an_unknown_channel_order_is_refused(segmenter: Segmenter) -> None:
    with pytest.raises(InputError, match="order: got 'yuv', expected rgb or bgr"):
        list(segmenter.stream([RGB], order="yuv"))


def test_uint16_of_either_byte_order() -> None:
    sixteen = RGB.astype(np.uint16) * 257
    for dtype in ("<u2", ">u2"):
        frame = Frame.from_array(sixteen.astype(dtype), index=0, pts_seconds=0)
        np.testing.assert_array_equal(frame.pixels, RGB)


def test_one_frame_in_place_of_many(segmenter: Segmenter) -> None:
    for one in (RGB, RGB[..., 0]):
        with pytest.raises(InputError, match=r"got one array of shape .*, expected an iterable of frames"):
            next(segmenter.stream(one))
    assert len(list(segmenter.stream(np.stack(_images(2))))) == 2


def test_arrays_in_place_of_frames(segmenter: Segmenter) -> None:
    with pytest.raises(InputError, match=r"got a ndarray among the frames, expected amcnet\.Frame"):
        next(segmenter.masks(_images(2)))  # type: ignore[arg-type]


def test_a_segmenter_is_not_pickled(segmenter: Segmenter) -> None:
    with pytest.raises(BackendError, match=r"cannot be copied .* Fix: call Segmenter\.load"):
        pickle.dumps(segmenter)
