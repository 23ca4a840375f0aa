"""Masks as PNG files: their pixels in other readers, and the masks that a resumed run finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from masks import write_mask
from PIL import Image

from amcnet.runtime.errors import InputError, OutputError
from amcnet.runtime.output.mask_files import encode_png, finished_masks, probability_pixels, read_mask, write_image

_MASK = np.random.default_rng(0).random((37, 53)) > 0.5


def test_every_reader_gets_0_and_255(tmp_path: Path) -> None:
    path = write_mask(tmp_path, 7, _MASK)
    expected = np.where(_MASK, 255, 0)
    assert path == tmp_path / "00007.png"
    with Image.open(path) as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.asarray(picture), expected)
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), expected)
    np.testing.assert_array_equal(read_mask(path), _MASK)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mask", [np.ones((1, 1), bool), np.zeros((2, 2), bool), _MASK.T, _MASK[::-1, ::-1]])
def test_masks_of_every_shape_and_layout_are_read_back(tmp_path: Path, mask: np.ndarray) -> None:
    np.testing.assert_array_equal(read_mask(write_mask(tmp_path, 0, mask)), mask)


def test_the_folder_is_made_and_long_videos_have_more_digits(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "out" / "masks", 123456, _MASK)
    assert path == tmp_path / "out" / "masks" / "123456.png"
    np.testing.assert_array_equal(read_mask(path), _MASK)


def test_probability_keeps_16_bits(tmp_path: Path) -> None:
    probability = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    path = tmp_path / "00000.png"
    write_image(path, encode_png(probability_pixels(probability)))
    with Image.open(path) as picture:
        stored = np.asarray(picture).astype(np.int64)
    assert np.abs(stored - probability.astype(np.float64) * 65535).max() <= 0.502  # half a step, and float32's rounding
    assert (stored.min(), stored.max()) == (0, 65535)


def test_probabilities_out_of_range_are_clipped(tmp_path: Path) -> None:
    pixels = probability_pixels(np.array([[-1e-6, 1 + 1e-6]], np.float32))
    np.testing.assert_array_equal(pixels, [[0, 65535]])


def test_finished_masks_end_at_the_first_gap(tmp_path: Path) -> None:
    assert finished_masks(tmp_path / "nowhere") == 0
    assert finished_masks(tmp_path) == 0
    for index in (0, 1, 2, 4):
        write_mask(tmp_path, index, _MASK)
    assert finished_masks(tmp_path) == 3


@pytest.mark.parametrize("damage", ["empty", "half", "no end", "zeros", "flipped byte"])
def test_a_damaged_mask_counts_as_missing(tmp_path: Path, damage: str) -> None:
    for index in range(3):
        write_mask(tmp_path, index, _MASK)
    path = tmp_path / "00001.png"
    png = path.read_bytes()
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    path.write_bytes(
        {
            "empty": b"",
            "half": png[: len(png) // 2],
            "no end": png[:-1],
            "zeros": bytes(len(png)),
            "flipped byte": bytes(flipped),
        }[damage]
    )
    assert finished_masks(tmp_path) == 1
    with pytest.raises(InputError, match=r"00001\.png is missing or not a complete PNG"):
        read_mask(path)


_WRITE_WITHOUT_SPACE = """
import resource, sys
from pathlib import Path
import numpy as np
from amcnet import OutputError
from amcnet.runtime.output.mask_files import encode_png, mask_pixels, write_image
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    mask = np.random.default_rng(0).random((256, 256)) > 0.5
    write_image(Path(sys.argv[1]) / "00000.png", encode_png(mask_pixels(mask)))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of a file's size")
def test_a_mask_on_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    # A limit of the file's size stands in for a full disk: writing fails in the same place.
    said = subprocess.run(
        [sys.executable, "-c", _WRITE_WITHOUT_SPACE, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith(f"cannot write {tmp_path / '00000.png'}: File too large; ")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "masks").write_bytes(b"")
    with pytest.raises(OutputError, match="masks: Not a directory"):
        write_mask(tmp_path / "masks", 0, _MASK)
