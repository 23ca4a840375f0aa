"""Still pictures with masks of their main object, in the layout of DUTS: `images/NAME.jpg`, `masks/NAME.png`."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import InputError
from ...runtime.video.image_source import images_in, read_image
from ..shared_memory import shared_array
from .davis import read_mask
from .motion import moving_sample
from .sample import Sample

_LONGEST_PX = 400
_OTHER_SCENERY = 0.25  # how often the object is put before another picture, whose own object then stands still


class Pictures:
    """Pictures and masks, read once and kept in memory (0.4 MB each) that forked processes share."""

    def __init__(self, root: Path) -> None:
        if not (root / "images").is_dir():
            raise InputError(f"{root}/images: no such folder; expected pictures there and their masks in {root}/masks")
        self.paths = images_in(root / "images")
        self._masks = [root / "masks" / f"{path.stem}.png" for path in self.paths]
        absent = [path for path in self._masks if not path.is_file()]
        if absent:
            raise InputError(f"{absent[0]} is missing; expected a mask for each picture in {root}/images")
        self._kept = shared_array((len(self.paths), 4 * _LONGEST_PX**2), np.uint8)  # pixels, then mask
        self._shapes = shared_array((len(self.paths), 2), np.int32)  # (H, W); zeros where nothing is kept yet
        self._lock = multiprocessing.Lock()

    def sample(self, rng: np.random.Generator) -> Sample:
        """A random picture, set in motion."""
        picture, mask = self.still(rng)
        scenery = self.still(rng)[0] if rng.random() < _OTHER_SCENERY else None
        return moving_sample(picture, mask, rng, scenery)

    def still(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A random picture (H, W, 3) uint8 RGB and its mask (H, W), 0 or 255."""
        return self._read(int(rng.integers(len(self.paths))))

    def _read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        with self._lock:
            height, width = map(int, self._shapes[number])
        if not height:
            picture, mask = _small(self.paths[number], self._masks[number])
            height, width = mask.shape
            self._kept[number, : 4 * mask.size] = np.concatenate((picture.ravel(), mask.ravel()))
            with self._lock:  # what is written before is there for whoever takes the lock after
                self._shapes[number] = height, width
        pixels, mask = np.split(self._kept[number, : 4 * height * width], [3 * height * width])
        return pixels.reshape(height, width, 3), mask.reshape(height, width)


def _small(picture_path: Path, mask_path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Picture (H, W, 3) and mask (H, W), at most `_LONGEST_PX` a side."""
    picture = read_image(picture_path)
    # Saliency masks have soft edges.
    mask = read_mask(mask_path, above=127)
    if picture.shape[:2] != mask.shape:
        raise InputError(f"{mask_path} is {mask.shape}, its picture {picture.shape[:2]} (H, W)")
    scale = min(1.0, _LONGEST_PX / max(mask.shape))
    size = (round(mask.shape[1] * scale), round(mask.shape[0] * scale))
    return (
        np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8),
        np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8),
    )
