"""Masks compressed from their runs, in other readers."""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from amcnet.runtime.output.mask_files import encode_png, mask_pixels
from amcnet.runtime.output.mask_png import encode_mask
from amcnet.runtime.output.run_deflate import deflate_runs


def _blobs(height: int, width: int, sigma: float, seed: int = 0) -> NDArray[np.bool_]:
    noise = np.random.default_rng(seed).normal(size=(height, width))
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma) > 0)


def _require_read_back(mask: NDArray[np.bool_]) -> bytes:
    """Pillow and OpenCV check the sums of the file and of its data."""
    png = encode_mask(mask)
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), np.where(mask, 255, 0))
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded, np.where(mask, 255, 0))
    return png


@settings(max_examples=200)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 400),
    sigma=st.floats(0.3, 60),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_mask_is_read_back(height: int, width: int, sigma: float, seed: int) -> None:
    _require_read_back(_blobs(height, width, sigma, seed))


@pytest.mark.parametrize("value", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (3, 257), (3, 258), (3, 259), (1, 5000), (700, 1300)])
def test_masks_of_one_value_are_read_back(size: tuple[int, int], value: bool) -> None:
    _require_read_back(np.full(size, value))


def test_views_are_read_back() -> None:
    mask = _blobs(300, 500, 20)
    for view in (mask.T, mask[::-1, ::-1], mask[10:200, 30:400]):
        _require_read_back(view)


@pytest.mark.parametrize("size", [(240, 426), (480, 854), (1080, 1920)])
def test_a_mask_of_an_object_is_no_larger_than_by_zlib(size: tuple[int, int]) -> None:
    mask = cv2.resize(_blobs(256, 256, 16).view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0
    png = _require_read_back(mask)
    zlibs = encode_png(mask_pixels(mask))
    assert png != zlibs
    assert len(png) < len(zlibs)


def test_noise_is_left_to_zlib() -> None:
    noise = np.random.default_rng(0).random((100, 120)) > 0.5
    assert encode_mask(noise) == encode_png(mask_pixels(noise))


def test_runs_of_every_length_are_inflated() -> None:
    for longest in range(1, 1600):
        lengths = np.array([longest, 1, longest, 2])
        data = zlib.decompress(deflate_runs(lengths), -zlib.MAX_WBITS)
        assert data == longest * b"\0" + b"\xff" + longest * b"\0" + 2 * b"\xff"
