"""Small folders of masks and annotations."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

_spec = importlib.util.spec_from_file_location("runtime_fixtures", Path(__file__).parents[1] / "runtime/conftest.py")
assert _spec is not None
assert _spec.loader is not None
_runtime = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_runtime)
on_fake_gpu, make_engine = _runtime.on_fake_gpu, _runtime.make_engine
networks, amcnet_onnx = _runtime.networks, _runtime.amcnet_onnx

WritePictures = Callable[[Path, dict[str, NDArray[np.uint8]]], None]
MovingSquare = Callable[[Iterable[int]], dict[str, NDArray[np.uint8]]]


@pytest.fixture(scope="session")
def write_pictures() -> WritePictures:
    """`write_pictures(folder, {"00000.png": pixels})` makes the folder and the files."""

    def write(folder: Path, pictures: dict[str, NDArray[np.uint8]]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, pixels in pictures.items():
            assert cv2.imwrite(str(folder / name), pixels)

    return write


@pytest.fixture(scope="session")
def moving_square() -> MovingSquare:
    """`moving_square([10, 12])`: 00000.png and 00001.png, 40×60, 0/255, a square of 10 whose left edge is at 10, 12."""

    def draw(lefts: Iterable[int]) -> dict[str, NDArray[np.uint8]]:
        pictures = {}
        for index, left in enumerate(lefts):
            pixels = np.zeros((40, 60), np.uint8)
            pixels[15:25, left : left + 10] = 255
            pictures[f"{index:05d}.png"] = pixels
        return pictures

    return draw
