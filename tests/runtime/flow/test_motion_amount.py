"""The median flow of a video, and the note about videos without motion."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.runtime.flow.flow import DisFlow, PrecomputedFlow
from amcnet.runtime.flow.motion_amount import MotionAmount
from amcnet.runtime.frame import Frame
from amcnet.runtime.infer import InferOptions, infer

RNG = np.random.default_rng(0)
FRAME = Frame.from_array(np.zeros((480, 854), np.uint8), index=0, pts_seconds=0)


def _flow(length_px: NDArray[Any]) -> NDArray[np.float32]:
    angle = RNG.uniform(0, 2 * np.pi, length_px.shape)
    return np.stack([length_px * np.cos(angle), length_px * np.sin(angle)], axis=2).astype(np.float32)


def test_the_median_is_that_of_all_vectors() -> None:
    motion, lengths = MotionAmount(), []
    assert motion.median_px is None
    for scale in (0.5, 3, 20):
        length_px = RNG.exponential(scale, (64, 64))
        lengths.append(length_px)
        motion.add(_flow(length_px), FRAME)
    assert motion.median_px == pytest.approx(np.median(lengths), rel=0.03)


def test_unknown_vectors_do_not_count() -> None:
    motion = MotionAmount()
    flow = _flow(np.full((60, 80), 2.0))
    flow[:30] = np.nan
    motion.add(flow, FRAME)
    assert motion.median_px == pytest.approx(2, rel=0.03)
    motion.add(np.full((60, 80, 2), np.nan, np.float32), FRAME)
    assert not motion.hardly_any


@pytest.mark.parametrize(
    ("moving_share", "still_frames", "hardly_any"),
    [(0, 20, True), (0.01, 20, False), (0.5, 19, True), (0.5, 18, False)],
)
def test_hardly_any_motion_needs_small_flow_in_most_frames(
    moving_share: float, still_frames: int, hardly_any: bool
) -> None:
    motion = MotionAmount()
    for index in range(20):
        length_px = np.full((60, 80), 0.3)
        share = moving_share if index >= still_frames or still_frames == 20 else 0
        length_px.flat[: round(share * length_px.size)] = 5
        motion.add(_flow(length_px), FRAME)
    assert motion.hardly_any == hardly_any


def test_dis_and_files_give_pixels_of_the_source(tmp_path: Path) -> None:
    texture = RNG.integers(0, 256, (30, 40), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    first, second = (
        Frame.from_array(np.roll(texture, 6 * index, axis=1), index=index, pts_seconds=index) for index in range(2)
    )
    with DisFlow((160, 120)) as flow:
        flow.render(first, second)
        assert flow.amount.median_px == pytest.approx(6, rel=0.1)
    header = np.array([202021.25], "<f4").tobytes() + np.array([160, 120], "<i4").tobytes()
    (tmp_path / "0.flo").write_bytes(header + np.full((120, 160, 2), [3, 0], "<f4").tobytes())
    with PrecomputedFlow(tmp_path, (160, 120)) as flow:
        flow.render(first, None)
        assert flow.amount.median_px == pytest.approx(6, rel=0.03)


@pytest.mark.parametrize("moving", [True, False])
def test_a_video_without_motion_is_noted(
    tmp_path: Path, make_clip: Callable[..., Path], amcnet_onnx: Path, moving: bool
) -> None:
    clip = make_clip(tmp_path / "clip.mkv", frames=6, size=(160, 120), codec="ffv1", moving=moving)
    report = infer(InferOptions(source=clip, output=tmp_path / "out", amcnet=amcnet_onnx))
    assert report == json.loads((tmp_path / "out" / "run.json").read_text())
    note = f"{clip}: hardly anything moves: the masks rest on appearance alone"
    assert report["notes"] == [note] * (not moving)
    assert report["median_flow_px"] == pytest.approx(0, abs=0.1)  # the background is still in both
