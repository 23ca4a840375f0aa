"""Still images with masks of their salient object, in the layout of DUTS: `images/NAME.jpg`, `masks/NAME.png`."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import InputError
from ...runtime.video.image_source import images_in
from ...runtime.video.read_image import read_image
from ..shared_memory import shared_array
from .davis import read_mask
from .flow import FlowFunction, dis_flow
from .motion import moving_sample
from .sample import Sample

_LONGEST_PX = 400  # longer side of the stored images
_HELD_OUT_EVERY, _MAX_HELD_OUT = 20, 64
_OTHER_BACKGROUND = 0.25  # probability of another image as background; its own object is then part of the background


class Pictures:
    """Still images and masks, read on first use and cached in memory shared by forked processes (0.4 MB each).

    root: folder with `images` and `masks`. flow: computes the flow of the samples. Raises InputError if `root` has no
    images, or an image has no mask.
    """

    def __init__(self, root: Path, flow: FlowFunction = dis_flow) -> None:
        if not (root / "images").is_dir():
            raise InputError(f"{root}/images: no such folder; expected images there and their masks in {root}/masks")
        self.paths = images_in(root / "images")
        self._masks = [root / "masks" / f"{path.stem}.png" for path in self.paths]
        absent = [path for path in self._masks if not path.is_file()]
        if absent:
            raise InputError(f"{absent[0]} is missing; expected a mask for each image in {root}/images")
        self._cache = shared_array((len(self.paths), 4 * _LONGEST_PX**2), np.uint8)  # pixels, then mask
        self._shapes = shared_array((len(self.paths), 2), np.int32)  # (H, W); zeros for images that are not cached yet
        self._lock = multiprocessing.Lock()
        self._flow = flow
        self._drawn = list(range(len(self.paths)))  # indices of the images that samples are made of

    def hold_out(self) -> list[Sample]:
        """Exclude every 20th image, at least 1 and at most 64, from further samples; return them with synthetic motion.

        The choice and the motion are always the same. Raises InputError for fewer than two images.
        """
        if len(self.paths) < 2:
            raise InputError(
                f"{self.paths[0].parent}: got one image, expected two or more, because some are held out. "
                "Fix: --no-hold-out"
            )
        count = min(max(1, len(self.paths) // _HELD_OUT_EVERY), _MAX_HELD_OUT)
        held = np.linspace(0, len(self.paths) - 1, count).round().astype(int).tolist()
        self._drawn = sorted(set(self._drawn) - set(held))
        return [moving_sample(*self._read(number), np.random.default_rng(number), flow=self._flow) for number in held]

    def sample(self, rng: np.random.Generator) -> Sample:
        """Return a random image with synthetic motion (motion.py)."""
        image, mask = self.still(rng)
        background = self.still(rng)[0] if rng.random() < _OTHER_BACKGROUND else None
        return moving_sample(image, mask, rng, background, self._flow)

    def still(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return a random image (H, W, 3) uint8 RGB and its mask (H, W) uint8, 0 or 255.

        Raises InputError for a file that cannot be read, or a mask of another size.
        """
        return self._read(self._drawn[int(rng.integers(len(self._drawn)))])

    def _read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        with self._lock:
            height, width = map(int, self._shapes[number])
        if not height:
            image, mask = _small(self.paths[number], self._masks[number])
            height, width = mask.shape
            self._cache[number, : 4 * mask.size] = np.concatenate((image.ravel(), mask.ravel()))
            with self._lock:  # the lock orders the pixels before the shape for other processes
                self._shapes[number] = height, width
        pixels, mask = np.split(self._cache[number, : 4 * height * width], [3 * height * width])
        return pixels.reshape(height, width, 3), mask.reshape(height, width)


def _small(image_path: Path, mask_path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read an image (H, W, 3) and its mask (H, W), scaled down to `_LONGEST_PX` on the longer side."""
    image = read_image(image_path)
    # Saliency masks have soft edges, hence the threshold.
    mask = read_mask(mask_path, above=127)
    if image.shape[:2] != mask.shape:
        raise InputError(
            f"{mask_path} has another size than its image: got {mask.shape}, expected {image.shape[:2]} (H, W)"
        )
    scale = min(1.0, _LONGEST_PX / max(mask.shape))
    size = (round(mask.shape[1] * scale), round(mask.shape[0] * scale))
    return (
        np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8),
        np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8),
    )
