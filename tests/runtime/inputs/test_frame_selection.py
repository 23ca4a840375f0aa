"""Deterministic selection of frames by motion, from slow to fast, and of cuts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from amcnet.runtime.errors import InputError
from amcnet.runtime.inputs.frame_selection import FrameMotion, choose_frames, clip_motion, select_evenly


def _motion(index: int, camera: float = 0, inside: float = 0, cut: bool = False) -> FrameMotion:
    return FrameMotion(clip="a", index=index, camera=camera, inside=inside, cut=cut)


def test_slow_and_fast_motion_and_cuts_are_selected() -> None:
    rng = np.random.default_rng(0)
    motions = [_motion(i, camera=rng.exponential(0.01), inside=rng.exponential(0.02)) for i in range(400)]
    motions[50] = _motion(50, camera=1.0)
    motions[60] = _motion(60, inside=1.0)
    motions[70], motions[80] = _motion(70, cut=True, camera=2), _motion(80, cut=True)
    chosen = select_evenly(motions, 40)
    assert len(chosen) == len(set(chosen)) == 40
    indexes = {index for _, index in chosen}
    assert {50, 60, 70, 80} <= indexes
    inside = sorted(m.inside for m in motions if m.index in indexes and not m.cut)
    everything = sorted(m.inside for m in motions if not m.cut)
    for quantile in (0.1, 0.5, 0.9):
        assert np.quantile(inside, quantile) == pytest.approx(np.quantile(everything, quantile), rel=0.4, abs=0.003)
    assert select_evenly(motions, 40) == chosen
    assert chosen == sorted(chosen)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10, 11, 50])
def test_the_requested_number_of_frames_is_selected(count: int) -> None:
    motions = [_motion(i, camera=i, inside=-i) for i in range(10)]
    assert len(select_evenly(motions, count)) == min(count, 10)
    assert len(select_evenly([_motion(i, cut=True) for i in range(10)], count)) == min(count, 10)


def test_camera_and_object_motion_are_measured(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (256, 512, 3), np.uint8), (0, 0), 3)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    still, panned = texture[:, :256], texture[:, 10:266]  # the camera moves by 10 px of 256
    moved = panned.copy()
    moved[64:192, 64:192] = texture[64:192, 82:210]  # a quarter of the picture by 8 px more
    for index, picture in enumerate([still, still, panned, moved, np.full_like(moved, 255)]):
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture)
    standing, panning, moving, cut = clip_motion(tmp_path)
    assert (standing.camera, standing.inside, standing.cut) == pytest.approx((0, 0, False), abs=1e-3)
    assert panning.camera == pytest.approx(10 / 256, rel=0.1)
    assert panning.inside < 0.02
    assert moving.inside > 0.02
    assert not moving.cut
    assert cut.cut
    assert choose_frames([tmp_path], 4) == [(str(tmp_path), index) for index in range(4)]


def test_a_single_frame_has_no_motion(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(InputError, match="has one frame"):
        choose_frames([tmp_path], 4)
