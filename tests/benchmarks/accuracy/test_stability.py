"""Temporal stability: masks against the previous masks, warped by the flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.benchmarks import temporal_stability, video_stability
from amcnet.runtime.errors import InputError

WritePictures = Callable[[Path, dict[str, NDArray[np.uint8]]], None]
MovingSquare = Callable[[Iterable[int]], dict[str, NDArray[np.uint8]]]


def masks_at(lefts: Iterable[int]) -> list[NDArray[np.bool_]]:
    """Squares of 10, moving along an image of 40×60."""
    masks = []
    for left in lefts:
        mask = np.zeros((40, 60), np.bool_)
        mask[15:25, max(0, left) : max(0, left + 10)] = True
        masks.append(mask)
    return masks


def flow(u: float, v: float = 0.0) -> NDArray[np.float32]:
    return np.full((40, 60, 2), (u, v), np.float32)


def test_masks_that_follow_the_motion_are_stable() -> None:
    stability = temporal_stability(iter(masks_at([10, 13, 16])), iter([flow(-3), flow(-3)]))
    assert (stability.mean, stability.pairs) == (1, 2)


def test_the_flow_points_backwards_and_x_comes_first() -> None:
    assert temporal_stability(masks_at([10, 13]), [flow(3)]).mean == 4 / 16
    assert temporal_stability(masks_at([10, 13]), [flow(0, -3)]).mean == pytest.approx(49 / 151)


def test_masks_that_jump_are_not_stable() -> None:
    stability = temporal_stability(masks_at([10, 10, 13, 13]), [flow(0)] * 3)
    assert stability.mean == pytest.approx((1 + 7 / 13 + 1) / 3)
    assert stability.worst == pytest.approx(7 / 13)
    assert stability.worst_index == 2
    assert stability.to_json()["temporal_stability"]["mean"] == stability.mean


def test_stability_of_empty_masks() -> None:
    empty, square = np.zeros((40, 60), np.bool_), masks_at([10])[0]
    assert temporal_stability([empty, empty], [flow(0)]).mean == 1
    assert temporal_stability([empty, square], [flow(0)]).mean == 0
    assert temporal_stability([square, empty], [flow(0)]).mean == 0


def test_pixels_that_enter_the_image_are_ignored() -> None:
    # The square's left half was outside one frame before: only its right half can be compared, and agrees.
    assert temporal_stability(masks_at([-5, 0]), [flow(-5)]).mean == 1


def test_sizes_and_numbers_must_agree() -> None:
    with pytest.raises(InputError, match="fewer than two masks"):
        temporal_stability(masks_at([10]), [])
    with pytest.raises(ValueError, match="shorter"):
        temporal_stability(masks_at([10, 11, 12]), [flow(-1)])
    with pytest.raises(InputError, match=r"frame 1: the mask is \(40, 60\).* the flow \(20, 60\)"):
        temporal_stability(masks_at([10, 11]), [flow(0)[:20]])


@pytest.fixture
def clip(tmp_path: Path, write_pictures: WritePictures) -> Path:
    """A folder of 4 textured images, 96×128, that slide 4 px to the right each frame."""
    random = np.random.default_rng(0)
    scene = cv2.GaussianBlur(random.integers(0, 256, (96, 160, 3), dtype=np.uint8), (0, 0), 2)
    scene = np.asarray(cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX), np.uint8)  # type: ignore[call-overload]
    write_pictures(tmp_path / "clip", {f"{i:05d}.png": scene[:, 16 - 4 * i : 144 - 4 * i] for i in range(4)})
    return tmp_path / "clip"


def square_masks(lefts: Iterable[int]) -> dict[str, NDArray[np.uint8]]:
    masks = {f"{index:05d}.png": np.zeros((96, 128), np.uint8) for index, _ in enumerate(lefts)}
    for mask, left in zip(masks.values(), lefts, strict=True):
        mask[30:60, left : left + 30] = 255
    return masks


def test_video_stability_follows_the_motion(clip: Path, tmp_path: Path, write_pictures: WritePictures) -> None:
    write_pictures(tmp_path / "with" / "masks", square_masks(range(40, 56, 4)))
    write_pictures(tmp_path / "without", square_masks([40] * 4))
    moving, still = video_stability(clip, tmp_path / "with"), video_stability(clip, tmp_path / "without")
    assert moving.pairs == still.pairs == 3
    assert moving.mean > 0.93
    assert still.mean == pytest.approx(26 / 34, abs=0.04)


def test_the_flow_has_one_thread_and_the_setting_is_restored(
    clip: Path, tmp_path: Path, write_pictures: WritePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Recorder:
        def __init__(self) -> None:
            self.threads: list[int] = []

        def calc(self, first: NDArray[np.uint8], second: NDArray[np.uint8], flow: None) -> NDArray[np.float32]:
            self.threads.append(cv2.getNumThreads())
            return np.zeros((*first.shape, 2), np.float32)

    recorder = Recorder()
    monkeypatch.setattr(cv2, "DISOpticalFlow", SimpleNamespace(create=lambda preset: recorder))
    write_pictures(tmp_path / "masks", square_masks([40] * 4))
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        video_stability(clip, tmp_path / "masks")
        assert recorder.threads == [1, 1, 1]
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize(
    ("count", "message"), [(3, "more frames than there are masks, 3; expected one"), (5, "4 frames, but .* 5 masks")]
)
def test_video_stability_needs_a_mask_for_each_frame(
    clip: Path, tmp_path: Path, write_pictures: WritePictures, count: int, message: str
) -> None:
    write_pictures(tmp_path / "masks", square_masks([40] * count))
    with pytest.raises(InputError, match=message):
        video_stability(clip, tmp_path / "masks")


def test_video_stability_names_a_folder_without_masks(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none has no \*\.png"):
        video_stability(clip, tmp_path / "none")
