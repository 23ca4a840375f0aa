"""Resizing compared with Pillow, normalization with its formula."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from amcnet.runtime.preprocessing.resize import Bicubic, network_input, normalize, reduce_image, upsample_mask
from amcnet.runtime.preprocessing.spec import Preprocessing

IMAGENET = Preprocessing(size=(384, 384), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
PWCNET = Preprocessing(
    size=(64, 128), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), channel_order="BGR", resize="bilinear"
)


def _noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """The hardest picture there is for a resize: every overshoot is clipped somewhere."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _pillow(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Pillow's bicubic, rows first: Pillow 13 would take the columns of tall pictures first, earlier ones never do."""
    rows_done = Image.fromarray(picture).resize((size[0], picture.shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(rows_done.resize(size, Image.Resampling.BICUBIC))


def _compare(picture: NDArray[np.uint8], size: tuple[int, int]) -> tuple[int, float]:
    """(largest difference in gray levels, share of values that differ)."""
    ours = Bicubic((picture.shape[1], picture.shape[0]), size)(picture)
    assert ours.shape == (size[1], size[0], 3)
    assert ours.dtype == np.uint8
    difference = np.abs(ours.astype(int) - _pillow(picture, size))
    return int(difference.max()), float((difference > 0).mean())


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((854, 480), (384, 384)),
        ((480, 854), (384, 384)),
        ((1280, 720), (384, 384)),
        ((1919, 1079), (384, 384)),
        ((384, 384), (854, 480)),
        ((513, 287), (384, 384)),
        ((384, 700), (384, 384)),
        ((700, 384), (384, 384)),
        ((1, 1), (384, 384)),
        ((2, 2), (384, 384)),
        ((1, 300), (384, 384)),
        ((500, 400), (1, 1)),
        ((576, 300), (384, 384)),  # 3:2, where many sums end in one half, and then rows enlarged
    ],
)
def test_bicubic_equals_pillow(source: tuple[int, int], target: tuple[int, int]) -> None:
    largest, share = _compare(_noise(*source), target)
    assert largest <= 1
    assert share <= 1e-4


def test_bicubic_of_landscape_video_in_one_call_equals_pillow() -> None:
    picture = _noise(854, 480)
    pillow = np.asarray(Image.fromarray(picture).resize((384, 384), Image.Resampling.BICUBIC))
    difference = np.abs(Bicubic((854, 480), (384, 384))(picture).astype(int) - pillow)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 1e-4


@settings(max_examples=80)
@given(
    source=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    target=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    seed=st.integers(0, 2**32 - 1),
)
def test_bicubic_of_any_size_equals_pillow(source: tuple[int, int], target: tuple[int, int], seed: int) -> None:
    largest, share = _compare(_noise(*source, seed), target)
    assert largest <= 1
    values = 3 * target[0] * target[1]
    assert share * values <= (0 if target[1] > source[1] else max(1.5, 0.01 * values))


def test_bicubic_of_a_real_frame_equals_pillow(shared: Callable[[str], Path]) -> None:
    frame = next(iter(sorted(shared("data/davis16/val/JPEGImages/480p/blackswan").glob("*.jpg"))))
    largest, share = _compare(np.asarray(Image.open(frame).convert("RGB")), (384, 384))
    assert largest <= 1
    assert share <= 1e-4


def test_bicubic_accepts_views_and_does_not_change_them() -> None:
    view = _noise(80, 60)[::-1, ::-2]
    before = view.copy()
    resize = Bicubic((40, 60), (33, 21))
    np.testing.assert_array_equal(resize(view), resize(before))
    np.testing.assert_array_equal(view, before)


def test_bicubic_of_the_same_size_changes_nothing() -> None:
    picture = _noise(37, 23)
    np.testing.assert_array_equal(Bicubic((37, 23), (37, 23))(picture), picture)


def test_bicubic_refuses_an_image_of_another_size() -> None:
    with pytest.raises(ValueError, match=r"\(5, 4, 3\).*expected uint8 \(4, 5, 3\)"):
        Bicubic((5, 4), (8, 8))(_noise(4, 5))
    with pytest.raises(ValueError, match="at least 1x1"):
        Bicubic((5, 0), (8, 8))


@pytest.mark.parametrize("size", [(510, 512), (512, 510), (513, 513), (511, 900)])
def test_an_image_below_eight_times_the_size_or_of_odd_sides_is_not_halved(size: tuple[int, int]) -> None:
    picture = _noise(*size)
    np.testing.assert_array_equal(reduce_image(picture, (64, 64)), Bicubic(size, (64, 64))(picture))


@pytest.mark.parametrize(("size", "halvings"), [((512, 512), 1), ((600, 1026), 1), ((2048, 1024), 2)])
def test_halving_first_changes_rounding_alone(size: tuple[int, int], halvings: int) -> None:
    smooth = cv2.GaussianBlur(_noise(*size), (0, 0), 2)
    stretched = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    difference = reduce_image(stretched, (64, 64)).astype(int) - Bicubic(size, (64, 64))(stretched)
    assert np.abs(difference).max() <= 1
    # The mean of four pixels is rounded up at a half, which is one of the four fractions it can have.
    assert difference.mean() == pytest.approx(halvings / 8, abs=0.06)


def test_normalize_equals_the_formula() -> None:
    picture = _noise(31, 17)
    expected = ((picture / 255 - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)).transpose(2, 0, 1)[None]
    batch = normalize(picture, IMAGENET)
    assert batch.shape == (1, 3, 17, 31)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    np.testing.assert_allclose(batch, expected, rtol=0, atol=2e-7)


def test_normalize_reverses_the_channels_for_bgr() -> None:
    picture = _noise(6, 5)
    constants = dataclasses.replace(PWCNET, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0))
    blue, green, red = normalize(picture, constants)[0]
    np.testing.assert_allclose(blue, picture[..., 2] / 255 - 0.1, atol=1e-7)
    np.testing.assert_allclose(green, (picture[..., 1] / 255 - 0.2) / 2, atol=1e-7)
    np.testing.assert_allclose(red, (picture[..., 0] / 255 - 0.3) / 4, atol=1e-7)


def test_network_input_resizes_as_the_specification_says() -> None:
    picture = _noise(100, 50)
    bicubic = network_input(picture, IMAGENET)
    np.testing.assert_array_equal(bicubic, normalize(Bicubic((100, 50), (384, 384))(picture), IMAGENET))
    bilinear = network_input(picture, PWCNET)
    assert bilinear.shape == (1, 3, 128, 64)
    # Half-pixel centers by hand at output column 10: center 10.5 * 100 / 64 - 0.5 = 15.90625 between columns 15 and 16.
    stretched = network_input(picture, dataclasses.replace(PWCNET, size=(64, 50)))
    by_hand = (0.09375 * picture[:, 15].astype(float) + 0.90625 * picture[:, 16]) / 255
    np.testing.assert_allclose(stretched[0, :, :, 10], by_hand.T[::-1], atol=0.51 / 255)


def test_upsample_mask_is_bilinear_with_half_pixel_centers() -> None:
    mask = np.array([[0.0, 1.0]], np.float32)
    np.testing.assert_allclose(upsample_mask(mask, (4, 2)), [[0, 0.25, 0.75, 1]] * 2, atol=1e-6)


def test_upsampled_masks_stay_between_0_and_1() -> None:
    mask = np.random.default_rng(0).normal(0.5, 1, (12, 12)).astype(np.float32)
    large = upsample_mask(mask, (85, 48))
    assert large.shape == (48, 85)
    assert large.dtype == np.float32
    assert large.min() == 0
    assert large.max() == 1
    assert upsample_mask(mask, (1, 1)).shape == (1, 1)
