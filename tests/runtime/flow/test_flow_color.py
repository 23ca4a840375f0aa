"""Colors of flow, compared pixel by pixel with the formula in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from amcnet.runtime.flow.color_wheel import COLOR_WHEEL
from amcnet.runtime.flow.flow_color import color_flow


def _reference_wheel() -> NDArray[np.float64]:
    wheel = np.zeros((55, 3))
    first = 0
    # steps, the channel that stays at 255, the channel that changes, whether it rises
    for steps, full, moving, rises in (
        (15, 0, 1, True),
        (6, 1, 0, False),
        (4, 1, 2, True),
        (11, 2, 1, False),
        (13, 2, 0, True),
        (6, 0, 2, False),
    ):
        ramp = np.floor(255 * np.arange(steps) / steps)
        wheel[first : first + steps, full] = 255
        wheel[first : first + steps, moving] = ramp if rises else 255 - ramp
        first += steps
    return wheel


def _reference(flow: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The straightforward form, for flow without unknown vectors."""
    wheel = _reference_wheel()
    u, v = flow[..., 0], flow[..., 1]
    longest = np.max(np.sqrt(np.square(u) + np.square(v)))
    u = u / (longest + np.float32(1e-5))
    v = v / (longest + np.float32(1e-5))
    radius = np.sqrt(np.square(u) + np.square(v))
    angle = np.arctan2(-v, -u) / np.float32(np.pi)
    position = (angle + 1) / 2 * 54
    assert position.dtype == np.float32
    k0 = np.floor(position).astype(np.int32)
    k1 = (k0 + 1) % 55
    fraction = position - k0
    assert fraction.dtype == np.float64
    picture = np.zeros((*u.shape, 3), np.uint8)
    for channel in range(3):
        color = (1 - fraction) * (wheel[k0, channel] / 255) + fraction * (wheel[k1, channel] / 255)
        color = np.where(radius <= 1, 1 - radius * (1 - color), color * 0.75)
        picture[..., channel] = np.floor(255 * color)
    return picture


def _random_flow(height: int, width: int, scale_px: float, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(height, width, 2)) * scale_px).astype(np.float32)


def test_wheel_has_the_middlebury_hues() -> None:
    wheel = COLOR_WHEEL
    assert wheel.shape == (55, 3)
    np.testing.assert_array_equal(wheel, _reference_wheel())
    # First hues of the six segments.
    np.testing.assert_array_equal(
        wheel[[0, 15, 21, 25, 36, 49]],
        [(255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255)],
    )


@settings(max_examples=150)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    exponent=st.floats(-6, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_colors_equal_the_formula_in_every_pixel(height: int, width: int, exponent: float, seed: int) -> None:
    flow = _random_flow(height, width, 10**exponent, seed)
    np.testing.assert_array_equal(color_flow(flow), _reference(flow))


@pytest.mark.parametrize("scale_px", [1e-3, 3.0, 500.0])
def test_colors_do_not_depend_on_the_width_of_strips(scale_px: float) -> None:
    flow = _random_flow(531, 1999, scale_px, seed=7)
    np.testing.assert_array_equal(color_flow(flow), _reference(flow))


def test_whole_numbers_and_negative_zero_equal_the_formula() -> None:
    # Axis-parallel and diagonal motion meets the wheel's hues exactly and +-pi, where 0.0 and -0.0 differ.
    values = np.array([-3, -1, -0.0, 0.0, 1, 3], np.float32)
    flow = np.stack(np.meshgrid(values, values), axis=-1)
    np.testing.assert_array_equal(color_flow(flow), _reference(flow))


def test_a_longest_vector_rounded_above_one_equals_the_formula() -> None:
    darkened = 0
    for seed in range(200):
        flow = _random_flow(4, 4, 1e4, seed)
        expected = _reference(flow)
        darkened += int((expected.max(axis=2) == 191).any())  # 0.75 * 255
        np.testing.assert_array_equal(color_flow(flow), expected)
    assert darkened > 0, "the case that this test is about never came up"


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (384, 384)])
def test_no_motion_is_white(shape: tuple[int, int]) -> None:
    with np.errstate(all="raise"):
        picture = color_flow(np.zeros((*shape, 2), np.float32))
    assert picture.shape == (*shape, 3)
    assert picture.dtype == np.uint8
    assert (picture == 255).all()


@pytest.mark.parametrize(("u", "v"), [(2, 0), (0, 2), (-2, 0), (0, -2), (1, 1), (-3, 4)])
def test_flow_of_one_pixel_is_colored(u: float, v: float) -> None:
    flow = np.array([[[u, v]]], np.float32)
    picture = color_flow(flow)
    np.testing.assert_array_equal(picture, _reference(flow))
    assert picture.min() < 100  # fully saturated: it is the longest vector of its picture


def test_right_is_red_and_left_is_cyan() -> None:
    right, left = color_flow(np.array([[[5, 0], [-5, 0]]], np.float32))[0]
    assert right[0] == 255
    assert right[1:].max() < 60
    assert left[0] < 60
    assert left[1:].min() > 180


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf, 3e38])
def test_unknown_vectors_are_white_and_do_not_change_the_others(unknown: float) -> None:
    flow = _random_flow(20, 30, 4.0, seed=3)
    flow[5, 6] = unknown, 1.0
    flow[7, 8] = 1.0, unknown
    flow[9:12] = unknown
    still = flow.copy()
    still[~(np.abs(flow) < 1e30).all(axis=-1)] = 0
    picture = color_flow(flow)
    np.testing.assert_array_equal(picture, _reference(still))
    assert (picture[9:12] == 255).all()
    assert (picture[5, 6] == 255).all()
    assert (picture[7, 8] == 255).all()


def test_a_flow_without_any_known_vector_is_white() -> None:
    assert (color_flow(np.full((3, 4, 2), np.nan, np.float32)) == 255).all()


@pytest.mark.parametrize("scale_px", [1e-30, 1e-12, 1e9, 1e17])
def test_tiny_and_huge_flow_is_colored(scale_px: float) -> None:
    flow = _random_flow(30, 40, scale_px, seed=11)
    np.testing.assert_array_equal(color_flow(flow), _reference(flow))


def test_the_flow_is_not_written_to() -> None:
    flow = _random_flow(10, 10, 1.0, seed=1)
    flow[0, 0] = np.nan
    before = flow.copy()
    color_flow(flow)
    np.testing.assert_array_equal(flow, before)


def test_a_strided_flow_is_colored_as_its_copy() -> None:
    flow = _random_flow(20, 24, 1.0, seed=2)[::-1, ::2]
    np.testing.assert_array_equal(color_flow(flow), _reference(flow))


def test_an_image_instead_of_flow_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 3\).*expected \(H, W, 2\)"):
        color_flow(np.zeros((2, 3, 3), np.float32))
