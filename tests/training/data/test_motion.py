"""Synthetic motion of still images, and procedurally generated samples."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest

from amcnet.runtime.errors import InputError
from amcnet.training.data import motion
from amcnet.training.data.motion import _inpaint_object, _partial_motion, moving_sample
from amcnet.training.data.pictures import Pictures
from amcnet.training.data.procedural import procedural_sample


def contrast(flow: np.ndarray, mask: np.ndarray) -> float:
    """Return the difference of the median motions of object and background, in px."""
    inside = cv2.resize(mask, flow.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    return float(np.linalg.norm(np.median(flow[inside], axis=0) - np.median(flow[~inside], axis=0)))


def test_procedural_objects_move_relative_to_their_background() -> None:
    samples = [procedural_sample(np.random.default_rng(seed)) for seed in range(8)]
    for sample in samples:
        assert 0.01 < (sample.mask > 0).mean() < 0.7
        assert sample.image.shape == (*sample.mask.shape, 3)
    assert np.median([contrast(sample.flow, sample.mask) for sample in samples]) > 4


def test_equal_seeds_give_equal_samples() -> None:
    first, again, other = (procedural_sample(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.flow, again.flow)
    assert not np.array_equal(first.mask, other.mask)


def test_the_image_is_unchanged_unless_the_background_is_replaced() -> None:
    drawn = procedural_sample(np.random.default_rng(0))
    alone = moving_sample(drawn.image, drawn.mask, np.random.default_rng(1))
    assert np.array_equal(alone.image, drawn.image)
    black = np.zeros((50, 70, 3), np.uint8)
    moved = moving_sample(drawn.image, drawn.mask, np.random.default_rng(1), black)
    core = cv2.erode(drawn.mask, np.ones((5, 5), np.uint8)) > 0
    far = cv2.dilate(drawn.mask, np.ones((5, 5), np.uint8)) == 0
    assert np.array_equal(moved.image[core], drawn.image[core])
    assert not moved.image[far].any()


def test_the_object_is_inpainted_from_its_surroundings() -> None:
    """No remains of a black object on white, which the flow would otherwise track."""
    image, mask = np.full((96, 128, 3), 255, np.uint8), np.zeros((96, 128), np.uint8)
    image[30:60, 40:80], mask[30:60, 40:80] = 0, 255
    assert _inpaint_object(image, mask).min() > 240


def test_a_part_of_the_object_moves_and_another_stays() -> None:
    shift = np.array([[1.0, 0, 10], [0, 1, 0], [0, 0, 1]])
    for seed in range(5):
        positions = _partial_motion(shift, np.eye(3), (90, 120), np.random.default_rng(seed))
        y, x = np.mgrid[0:90, 0:120]
        moved = x - positions[..., 0]  # px: where a pixel comes from
        assert np.allclose(positions[..., 1], y, atol=1e-3)
        assert moved.min() < 1
        assert moved.max() > 9
        assert np.abs(np.diff(moved, axis=1)).max() < 2.5  # no cracks


def test_objects_that_move_in_part_have_slow_and_fast_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    def evenness(share: float) -> float:
        """Speed of the slow parts of an object over that of its fast parts; the median of twelve objects."""
        monkeypatch.setattr(motion, "_PARTLY", share)
        ratios = []
        for seed in range(12):
            drawn = procedural_sample(np.random.default_rng(seed))
            sample = moving_sample(drawn.image, drawn.mask, np.random.default_rng(seed))
            inside = cv2.resize(sample.mask, sample.flow.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
            relative = sample.flow[inside] - np.median(sample.flow[~inside], axis=0)
            slow, fast = np.percentile(np.linalg.norm(relative, axis=1), (20, 80))
            ratios.append(slow / fast)
        return float(np.median(ratios))

    assert evenness(0.0) > 0.6
    assert evenness(1.0) < 0.45


def write_pictures(root: Path, count: int, suffix: str = ".jpg") -> None:
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        drawn = procedural_sample(np.random.default_rng(number))
        cv2.imwrite(str(root / "images" / f"{number}{suffix}"), cv2.resize(drawn.image, (800, 600)))
        cv2.imwrite(
            str(root / "masks" / f"{number}.png"), cv2.GaussianBlur(cv2.resize(drawn.mask, (800, 600)), (9, 9), 0)
        )


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_still_images_become_samples(tmp_path: Path, suffix: str) -> None:
    write_pictures(tmp_path, 2, suffix)
    sample = Pictures(tmp_path).sample(np.random.default_rng(0))
    assert sample.image.shape == (300, 400, 3)
    assert set(np.unique(sample.mask)) == {0, 255}
    assert sample.flow.shape[2] == 2


def test_an_image_read_in_one_process_is_cached_for_all(tmp_path: Path) -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this platform has no fork: each process has its own cache")
    write_pictures(tmp_path, 1)
    pictures = Pictures(tmp_path)
    reader = multiprocessing.get_context("fork").Process(target=pictures.still, args=(np.random.default_rng(0),))
    reader.start()
    reader.join()
    expected = Pictures(tmp_path).still(np.random.default_rng(0))
    (tmp_path / "images" / "0.jpg").unlink()
    for found, stored in zip(pictures.still(np.random.default_rng(0)), expected, strict=True):
        assert np.array_equal(found, stored)


def test_held_out_images_are_in_no_sample(tmp_path: Path) -> None:
    write_pictures(tmp_path, 41)
    pictures, again = Pictures(tmp_path), Pictures(tmp_path)
    held = pictures.hold_out()
    assert len(held) == 2
    for ours, same in zip(held, again.hold_out(), strict=True):
        assert np.array_equal(ours.image, same.image)
        assert np.array_equal(ours.flow, same.flow)
    rng = np.random.default_rng(0)
    drawn = {pictures.still(rng)[0].tobytes() for _ in range(1000)}
    assert len(drawn) == 39
    assert not drawn & {sample.image.tobytes() for sample in held}


def test_one_image_is_too_few_to_hold_out_some(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    with pytest.raises(InputError, match=r"got one image, expected two or more.*Fix: --no-hold-out"):
        Pictures(tmp_path).hold_out()


def test_errors_of_a_folder_of_still_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"images: no such folder"):
        Pictures(tmp_path)
    write_pictures(tmp_path, 1)
    cv2.imwrite(str(tmp_path / "masks" / "0.png"), np.zeros((5, 5), np.uint8))
    with pytest.raises(InputError, match=r"got \(5, 5\), expected \(600, 800\)"):
        Pictures(tmp_path).sample(np.random.default_rng(0))
    (tmp_path / "masks" / "0.png").unlink()
    with pytest.raises(InputError, match=r"0\.png is missing"):
        Pictures(tmp_path)
