"""The temporal filter on drawn frames whose motion and log-odds are known."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.runtime.flow.flow import DisFlow, Motion
from amcnet.runtime.frame import Frame
from amcnet.runtime.refine.temporal import MAX_LOG_ODDS, Evidence, average, backward_flow, filter_in_time, warp
from amcnet.runtime.stage_times import StageTimes

SIDE = 96
BLOCK = (slice(36, 60), slice(20, 44))  # rows, columns
_BLANK = np.zeros((SIDE, SIDE, 3), np.uint8)


def _texture(seed: int = 0, low: int = 0, high: int = 255) -> NDArray[np.uint8]:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(SIDE, SIDE)), (0, 0), 2)
    return (low + (high - low) * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)


def _flow(dx_px: float, dy_px: float = 0) -> NDArray[np.float32]:
    return np.full((SIDE, SIDE, 2), (dx_px, dy_px), np.float32)


def _probability(log_odds: float | NDArray[np.float32]) -> NDArray[np.float32]:
    return np.broadcast_to(1 / (1 + np.exp(-np.float32(log_odds))), (SIDE, SIDE)).astype(np.float32)


def _still(log_odds: float, gray: NDArray[np.uint8] | None = None) -> Evidence:
    gray = _texture() if gray is None else gray
    return Evidence(Frame(_BLANK, 0, 0, 0.0), _probability(log_odds), Motion(gray, _flow(0)))


def _log_odds(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.log(probability / (1 - probability))


def _values(items: Iterator[Evidence] | list[Evidence]) -> list[NDArray[np.float32]]:
    return [item.probability for item in filter_in_time(iter(items), StageTimes())]


def test_still_frames_are_averaged_with_equal_weights() -> None:
    filtered = average(_still(-3), _still(1), _still(5))
    assert filtered.dtype == np.float32
    np.testing.assert_allclose(_log_odds(filtered), 1, atol=1e-4)
    np.testing.assert_allclose(_log_odds(average(None, _still(1), _still(5))), 3, atol=1e-4)
    np.testing.assert_allclose(_log_odds(average(_still(-3), _still(1), None)), -1, atol=1e-4)


def test_a_frame_without_neighbors_is_unchanged() -> None:
    alone = _still(20.0)
    assert average(None, alone, None) is alone.probability
    (filtered,) = _values([alone])
    assert filtered is alone.probability


def test_the_weight_of_a_pixel_falls_with_its_gray_difference() -> None:
    gray = _texture(high=240)
    weight = np.exp(-10 / 40)
    filtered = average(_still(4, gray + 10), _still(-1, gray), _still(-1, gray))
    np.testing.assert_allclose(_log_odds(filtered), (4 * weight - 2) / (2 + weight), atol=1e-4)


def test_log_odds_are_limited_and_finite() -> None:
    certain = _still(0)
    certain = Evidence(certain.frame, np.ones((SIDE, SIDE), np.float32), certain.motion)
    filtered = average(_still(-2), certain, _still(-2))
    np.testing.assert_allclose(_log_odds(filtered), (MAX_LOG_ODDS - 4) / 3, atol=1e-3)
    nothing = Evidence(certain.frame, np.zeros((SIDE, SIDE), np.float32), certain.motion)
    assert np.isfinite(_values([nothing, nothing])[0]).all()


def test_frames_across_a_cut_are_not_averaged() -> None:
    before, after = _still(6, _texture(1)), _still(-6, _texture(2))
    assert average(None, before, after) is before.probability
    assert average(before, after, None) is after.probability
    (_, second, third, _) = _values([before, before, after, after])
    np.testing.assert_allclose(_log_odds(second), 6, atol=1e-3)
    np.testing.assert_allclose(_log_odds(third), -6, atol=1e-3)


def test_a_fade_is_no_cut() -> None:
    gray = _texture()
    assert average(_still(6, gray), _still(-1, (0.9 * gray).astype(np.uint8)), None).min() > 0.5


def test_flat_frames_can_be_filtered() -> None:
    black = np.zeros((SIDE, SIDE), np.uint8)
    np.testing.assert_allclose(_log_odds(average(_still(3, black), _still(-1, black), None)), 1, atol=1e-4)
    bright = _still(3, np.full_like(black, 200))
    assert average(bright, _still(-1, black), None) is not None


def _moving(missing: int, step_px: int) -> list[Evidence]:
    """Three frames of a textured block that moves over a textured ground; the network misses it in frame `missing`."""
    items = []
    frames = []
    for index in range(3):
        rows, columns = BLOCK
        columns = slice(columns.start + index * step_px, columns.stop + index * step_px)
        gray, log_odds = _texture(), np.full((SIDE, SIDE), -4, np.float32)
        gray[rows, columns] = _texture(3, 0, 255)[BLOCK]
        if index != missing:
            log_odds[rows, columns] = 4
        frames.append(Frame(np.repeat(gray[..., None], 3, axis=2), index, index, index / 25))
        items.append(log_odds)
    with DisFlow((SIDE, SIDE)) as dis:
        motions = [dis.motion(*pair) for pair in (*pairwise(frames), (frames[-1], None))]
    return [Evidence(f, _probability(z), m) for f, z, m in zip(frames, items, motions, strict=True)]


def test_a_moving_object_missing_in_one_frame_is_restored() -> None:
    items = _moving(missing=1, step_px=3)
    rows, columns = BLOCK
    there = np.zeros((SIDE, SIDE), bool)
    there[rows, slice(columns.start + 3, columns.stop + 3)] = True
    mask = _values(items)[1] >= 0.5
    assert (items[1].probability < 0.5).all()
    assert (mask & there).sum() > 0.8 * there.sum()
    assert (mask & ~there).sum() < 0.2 * there.sum()


def test_warp_samples_at_the_flow_and_repeats_the_border() -> None:
    image = _texture()
    moved = warp(image, _flow(5, -2))
    np.testing.assert_array_equal(moved[2:, :-5], image[:-2, 5:])
    np.testing.assert_array_equal(moved[2:, -5:], np.repeat(image[:-2, -1:], 5, axis=1))
    between = warp(image.astype(np.float32), _flow(0.5))
    np.testing.assert_allclose(between[:, :-1], (image[:, :-1].astype(float) + image[:, 1:]) / 2, atol=1e-3)


def test_the_backward_flow_inverts_the_forward_flow() -> None:
    np.testing.assert_allclose(backward_flow(_flow(3, -1)), _flow(-3, 1))
    x = np.arange(SIDE, dtype=np.float32)
    zoom = np.zeros((SIDE, SIDE, 2), np.float32)
    zoom[..., 0] = 0.1 * (x - SIDE / 2)  # x -> x + 0.1 (x - c), whose inverse moves back by (x - c) / 11
    expected = -(x - SIDE / 2) / 11
    error_px = np.abs(backward_flow(zoom)[..., 0] - expected)[:, 8:-8].max()
    assert error_px < 0.25 * np.abs(-zoom[..., 0] - expected)[:, 8:-8].max()


def test_each_result_depends_on_three_frames_only() -> None:
    """The reason why a run that is resumed at any frame, from one frame earlier, gives the same bytes."""
    items = [_still(z) for z in np.random.default_rng(0).normal(0, 2, 8)]
    whole = _values(items)
    for start in range(1, 8):
        for filtered, expected in zip(_values(items[start - 1 :])[1:], whole[start:], strict=True):
            np.testing.assert_array_equal(filtered, expected)


def test_an_error_is_raised_after_the_frames_before_it() -> None:
    def broken() -> Iterator[Evidence]:
        yield _still(1)
        yield _still(5)
        raise RuntimeError("the file ends here")

    filtered = filter_in_time(broken(), StageTimes())
    np.testing.assert_allclose(_log_odds(next(filtered).probability), 3, atol=1e-4)
    np.testing.assert_allclose(_log_odds(next(filtered).probability), 3, atol=1e-4)
    with pytest.raises(RuntimeError, match="the file ends here"):
        next(filtered)


def test_frames_of_unknown_motion_are_unchanged() -> None:
    unknown = Evidence(Frame(_BLANK, 0, 0, 0.0), _probability(2), None)
    for filtered in _values([unknown, unknown]):
        assert filtered is unknown.probability
    assert average(_still(5), unknown, _still(5)) is unknown.probability
    np.testing.assert_allclose(_log_odds(average(unknown, _still(2), unknown)), 2, atol=1e-4)
