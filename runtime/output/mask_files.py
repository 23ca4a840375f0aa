"""Masks and probability maps as PNG files, one per frame: `NNNNN.png`, counted from 0, or other names."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files.atomic import make_folder, replacing

_END_OF_PNG = bytes.fromhex("0000000049454e44ae426082")  # the IEND chunk, the last 12 bytes of every PNG


def index_name(index: int) -> str:
    """NNNNN.png."""
    return f"{index:05d}.png"


def mask_pixels(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """`mask` as 8-bit gray, 0 and 255."""
    return mask.view(np.uint8) * np.uint8(255)


def probability_pixels(probability: NDArray[np.float32]) -> NDArray[np.uint16]:
    """`probability` in [0, 1] as 16-bit gray, round(p * 65535)."""
    scaled: NDArray[np.uint16] = np.rint(np.clip(probability, 0, 1) * np.float32(65535)).astype(np.uint16)
    return scaled


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask (H, W) of 0 and 255. Raises InputError for a file that is missing or damaged."""
    return np.asarray(read_gray(path) >= 128)


def read_gray(path: Path) -> NDArray[np.uint8]:
    """Read 8-bit gray (H, W). Raises InputError for a file that is missing or damaged."""
    pixels = _read(path)
    if pixels is None:
        raise InputError(f"{path} is missing or not a complete PNG file. Fix: remove it, and run again with --resume")
    return pixels


def finished_masks(folder: Path, name: Callable[[int], str] = index_name) -> int:
    """Count the masks that follow each other without a gap from 00000.png and can be read to their end.

    Each is decoded (0.6 ms at 854x480): a resumed run continues behind the last good one. `name` raises IndexError
    behind the last frame.
    """
    count = 0
    with suppress(IndexError):
        while _read(folder / name(count)) is not None:
            count += 1
    return count


def encode_png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """A PNG file of gray (H, W), BGR (H, W, 3) or BGRA (H, W, 4)."""
    # OpenCV's own setting (level 1, run lengths, "sub" filter) is the quickest that all its versions have. DAVIS masks
    # at 854x480: 0.9 ms, 3.4 kB; level 1 alone 2.7 ms, 5.0 kB; level 6 3.3 ms, 2.6 kB; level 9 9.0 ms, 2.0 kB.
    _, png = cv2.imencode(".png", pixels)
    return bytes(png.tobytes())


def write_image(path: Path, image: bytes) -> None:
    """Write `image` to `path`, whose folder is made. Raises OutputError."""
    make_folder(path.parent)
    with replacing(path) as temporary:
        temporary.write_bytes(image)


def _read(path: Path) -> NDArray[np.uint8] | None:
    try:
        png = path.read_bytes()
    except OSError:
        return None
    if not png.endswith(_END_OF_PNG):  # OpenCV writes an error about such files to standard error
        return None
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    return None if pixels is None else np.asarray(pixels, np.uint8)
