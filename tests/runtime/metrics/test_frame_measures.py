"""J and F of one frame, compared with counts by hand and with an independent implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from amcnet.runtime.metrics.boundary import boundary_accuracy, boundary_map
from amcnet.runtime.metrics.region import region_similarity

Mask = NDArray[np.bool_]


def square(size: int, x: int, y: int, side: int = 1) -> Mask:
    mask = np.zeros((size, size), np.bool_)
    mask[y : y + side, x : x + side] = True
    return mask


def half_plane(columns: int) -> Mask:
    mask = np.zeros((480, 854), np.bool_)
    mask[:, :columns] = True
    return mask


def slow_boundary(mask: Mask) -> set[tuple[int, int]]:
    """Pixel by pixel: it differs from its right, lower or lower right neighbor; the last row looks right only, the
    last column down only, the last pixel nowhere."""
    height, width = mask.shape
    found = set()
    for y in range(height):
        for x in range(width):
            if y == height - 1 and x == width - 1:
                neighbors = []
            elif y == height - 1:
                neighbors = [(y, x + 1)]
            elif x == width - 1:
                neighbors = [(y + 1, x)]
            else:
                neighbors = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            if any(mask[n] != mask[y, x] for n in neighbors):
                found.add((y, x))
    return found


def slow_f(mask: Mask, annotation: Mask) -> float:
    height, width = mask.shape
    radius = math.ceil(0.008 * math.sqrt(height**2 + width**2))
    of_mask, of_annotation = slow_boundary(mask), slow_boundary(annotation)

    def near(these: set[tuple[int, int]], those: set[tuple[int, int]]) -> float:
        if not these:
            return 1.0 if those else math.nan
        met = sum(any((y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in those) for y, x in these)
        return met / len(these)

    if not of_mask and not of_annotation:
        return 1.0
    precision = near(of_mask, of_annotation)
    recall = near(of_annotation, of_mask)
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def test_region_similarity_is_intersection_over_union() -> None:
    assert region_similarity(square(9, 0, 0, 4), square(9, 2, 0, 4)) == 8 / 24


def test_region_similarity_of_empty_masks() -> None:
    empty = np.zeros((5, 5), np.bool_)
    assert region_similarity(empty, empty) == 1
    assert region_similarity(empty, square(5, 2, 2)) == 0
    assert region_similarity(square(5, 2, 2), empty) == 0


def test_boundary_of_one_pixel_lies_above_and_left_of_it() -> None:
    expected = np.zeros((5, 5), np.uint8)
    expected[1:3, 1:3] = 1
    np.testing.assert_array_equal(boundary_map(square(5, 2, 2)), expected)


def test_the_border_of_the_image_is_no_boundary() -> None:
    assert not boundary_map(np.ones((4, 6), np.bool_)).any()
    # ... and the last row and column are compared along themselves: an object in the last corner.
    expected = np.zeros((4, 4), np.uint8)
    expected[2, 2] = expected[2, 3] = expected[3, 2] = 1
    np.testing.assert_array_equal(boundary_map(square(4, 3, 3)), expected)


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (1, 1.0), (2, 0.5), (3, 0.0)])
def test_boundary_accuracy_of_a_shifted_pixel(shift: int, expected: float) -> None:
    # 20×20 tolerates 1 px. Two apart, of four boundary pixels the two on the near side still meet.
    assert boundary_accuracy(square(20, 8 + shift, 8), square(20, 8, 8)) == expected


@pytest.mark.parametrize(("columns", "expected"), [(108, 1.0), (109, 0.0), (92, 1.0), (91, 0.0)])
def test_the_tolerance_at_480p_is_eight_pixels(columns: int, expected: float) -> None:
    assert boundary_accuracy(half_plane(columns), half_plane(100)) == expected


def test_boundary_accuracy_of_empty_masks() -> None:
    empty, full = np.zeros((20, 20), np.bool_), np.ones((20, 20), np.bool_)
    assert boundary_accuracy(empty, empty) == 1
    assert boundary_accuracy(empty, square(20, 5, 5)) == 0
    assert boundary_accuracy(square(20, 5, 5), empty) == 0
    assert boundary_accuracy(full, empty) == 1  # neither has a boundary; J tells them apart
    assert region_similarity(full, empty) == 0


def test_the_structuring_element_is_a_disk() -> None:
    # 300×300 tolerates 4 px: a corner 3 right and 3 down is 4.24 away and does not meet, 4 right does.
    corner, right, diagonal = square(300, 100, 100), square(300, 105, 100), square(300, 104, 104)
    assert boundary_accuracy(corner, right) == 0.5
    assert boundary_accuracy(corner, diagonal) == 0.0
    assert boundary_accuracy(corner, square(300, 103, 103)) == slow_f(corner, square(300, 103, 103))


@settings(max_examples=150)
@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    density=st.floats(0, 1),
    other_density=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_masks_agree_with_a_slow_reference(
    height: int, width: int, density: float, other_density: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    mask = random.random((height, width)) < density
    annotation = random.random((height, width)) < other_density
    assert {(int(y), int(x)) for y, x in np.argwhere(boundary_map(mask))} == slow_boundary(mask)
    assert boundary_accuracy(mask, annotation) == pytest.approx(slow_f(mask, annotation), abs=1e-12)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_shapes_agree_with_a_slow_reference(seed: int) -> None:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:60, :130]  # tolerates 2 px

    def ellipse() -> Mask:
        (cy, cx), (ry, rx) = random.uniform((0, 50), (60, 80)), random.uniform(3, 25, 2)
        return np.asarray(((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1)

    mask, annotation = ellipse(), ellipse()
    assert boundary_accuracy(mask, annotation) == pytest.approx(slow_f(mask, annotation), abs=1e-12)
    assert boundary_accuracy(mask, annotation) == boundary_accuracy(annotation, mask)
