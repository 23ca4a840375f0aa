"""The contact sheet shows what is right, wrong, missed and worst, in its colors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from amcnet.benchmarks import Evaluation, evaluate
from amcnet.benchmarks.accuracy.contact_sheet import contact_sheet
from amcnet.runtime.errors import InputError

WritePictures = Callable[[Path, dict[str, NDArray[np.uint8]]], None]
MovingSquare = Callable[[Iterable[int]], dict[str, NDArray[np.uint8]]]

STRIP_TOP = 76 + 42 + 20  # legend, label, caption
CELL = 218


@pytest.fixture
def evaluation(tmp_path: Path, write_pictures: WritePictures, moving_square: MovingSquare) -> Evaluation:
    """20 frames of a square at x 20..30; masks right, but 5 px too far in frame 00004 and empty in frame 00015."""
    masks = moving_square([25 if index == 4 else 20 for index in range(20)])
    masks["00015.png"][:] = 0
    write_pictures(tmp_path / "annotations" / "box", moving_square([20] * 20))
    write_pictures(tmp_path / "masks" / "box", masks)
    return evaluate(tmp_path / "masks", tmp_path / "annotations")


def cell(sheet: NDArray[np.uint8], column: int) -> NDArray[np.uint8]:
    left = 12 + column * (CELL + 8)
    return sheet[STRIP_TOP : STRIP_TOP + round(CELL * 40 / 60), left : left + CELL]


def at(image: NDArray[np.uint8], x: float, y: float) -> list[int]:
    """The color at a place given in the 60×40 frame's pixels."""
    return [int(value) for value in image[round(y * CELL / 60), round(x * CELL / 60)]]


def test_hits_misses_and_false_pixels_are_colored(evaluation: Evaluation) -> None:
    sheet = contact_sheet(evaluation)
    assert sheet.shape == (STRIP_TOP + 145 + 3 + 12, 1600, 3)
    # 18 frames count, 00001 to 00018, 7 are shown: 1 4 7 9 12 15 18 (positions 0, 3, 6, 8, 11, 14, 17).
    shifted, empty, right = cell(sheet, 1), cell(sheet, 5), cell(sheet, 6)
    assert at(right, 2, 2) == [0, 0, 0]
    assert at(right, 25, 20) == pytest.approx([27, 90, 40], abs=1)  # green, at 45 %
    assert at(shifted, 22.5, 20) == pytest.approx([34, 94, 217], abs=1)  # missed: blue, at 85 %
    assert at(shifted, 27.5, 20) == pytest.approx([27, 90, 40], abs=1)
    assert at(shifted, 32.5, 20) == pytest.approx([200, 42, 34], abs=1)  # wrong: red
    assert at(empty, 25, 20) == pytest.approx([34, 94, 217], abs=1)


def test_only_the_worst_frame_has_a_red_border(evaluation: Evaluation) -> None:
    sheet = contact_sheet(evaluation)
    row = STRIP_TOP + 70
    framed = [tuple(sheet[row, 12 + column * (CELL + 8) - 2]) == (255, 40, 40) for column in range(7)]
    assert framed == [False, False, False, False, False, True, False]


def test_images_are_drawn_darkened_below_the_masks(
    evaluation: Evaluation, tmp_path: Path, write_pictures: WritePictures
) -> None:
    blue_bgr = np.full((80, 120, 3), (255, 0, 0), np.uint8)  # of another size than the masks: fitted
    write_pictures(tmp_path / "images" / "box", {f"{index:05d}.jpg": blue_bgr for index in range(20)})
    sheet = contact_sheet(evaluation, tmp_path / "images")
    assert at(cell(sheet, 0), 2, 2) == pytest.approx([34, 34, 136], abs=3)
    np.testing.assert_array_equal(contact_sheet(evaluation, tmp_path / "images" / "box"), sheet)  # a single sequence


def test_a_missing_image_is_named(evaluation: Evaluation, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no image .*images/00001\.jpg"):
        contact_sheet(evaluation, tmp_path / "images")


def test_frames_without_object_are_black(tmp_path: Path, write_pictures: WritePictures) -> None:
    write_pictures(tmp_path / "empty", {f"{index:05d}.png": np.zeros((40, 60), np.uint8) for index in range(5)})
    sheet = contact_sheet(evaluate(tmp_path / "empty", tmp_path / "empty"))
    assert not cell(sheet, 0).any()


def test_short_and_portrait_sequences_fit(
    tmp_path: Path, write_pictures: WritePictures, moving_square: MovingSquare
) -> None:
    upright = {name: np.ascontiguousarray(pixels.T) for name, pixels in moving_square([20, 20, 20]).items()}
    write_pictures(tmp_path / "upright", upright)
    sheet = contact_sheet(evaluate(tmp_path / "upright", tmp_path / "upright"))
    assert sheet.shape == (STRIP_TOP + CELL + 3 + 12, 1600, 3)
    assert not (sheet[STRIP_TOP:, 12 + 145 + 8 :] != sheet[-1, -1]).any()  # one frame counts: nothing beside it
