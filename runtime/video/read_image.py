"""One image file of any common format as 8-bit RGB."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..opencv_state import silent_opencv
from .heif import is_heif, is_heif_photo, read_heif
from .linear_light import is_linear, read_linear
from .tiff import require_supported, tiff_pages, with_stored_colors
from .video_source import VideoSource

_COMMON = ("jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "heic", "avif", "exr")
_OTHERS = (
    "jpe", "jfif", "heif", "gif", "ppm", "pgm", "pbm", "pnm", "pam", "pfm", "jp2", "j2k", "tga", "dpx", "hdr", "ico",
    "pcx", "sgi", "dds", "psd", "qoi",
)  # fmt: skip
SUFFIXES = frozenset(f".{suffix}" for suffix in _COMMON + _OTHERS)
EXPECTED = f"images such as {', '.join(_COMMON)}"


def read_image(path: Path) -> NDArray[np.uint8]:
    """The image as (H, W, 3) uint8 RGB, upright. Raises InputError."""
    try:
        stored = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path}: the image cannot be read ({error.strerror})") from error
    if stored.size == 0:
        raise InputError(f"{path}: the image is empty (0 bytes); expected {EXPECTED}")
    head = stored[:64].tobytes()
    if is_heif_photo(head):
        return read_heif(path)
    if is_linear(head):
        return read_linear(path)
    flags: tuple[int, ...] = (cv2.IMREAD_COLOR, cv2.IMREAD_UNCHANGED)  # the second for floating point
    for page in tiff_pages(path)[:1]:
        require_supported(path, page)
        stored = with_stored_colors(stored, page)
        flags = flags[1:] if page.is_signed else flags
    # OpenCV ignores the largest value of PNM, and the rotation of HEIF.
    is_for_ffmpeg = is_heif(head) or re.match(rb"P[1-7fF]\s", head) is not None
    rgb = None if is_for_ffmpeg else _by_opencv(path, stored, flags)
    if rgb is None:
        rgb = _by_ffmpeg(path)
    if rgb is None:
        raise InputError(
            f"{path}: the image cannot be decoded: damaged, or of another format than its suffix; save it anew"
        )
    return rgb


def _by_opencv(path: Path, stored: NDArray[np.uint8], flags: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The image by the first of `flags` (cv2.IMREAD_...) that it can be read with."""
    try:
        with silent_opencv:  # the error of the caller is clearer
            decoded = (cv2.imdecode(stored, flag) for flag in flags)
            image = next((each for each in decoded if each is not None), None)
    except cv2.error as error:  # a size beyond OpenCV's limit, for one
        raise InputError(f"{path}: the image cannot be decoded ({error.err})") from error
    return None if image is None else to_rgb8(np.asarray(image))


def _by_ffmpeg(path: Path) -> NDArray[np.uint8] | None:
    try:
        with closing(VideoSource(str(path))) as source:
            return next(source.frames()).to_rgb()
    except InputError:
        return None


def to_rgb8(image: NDArray[Any]) -> NDArray[np.uint8]:
    """An image of OpenCV, (H, W) or (H, W, C) in BGR(A), as (H, W, 3) uint8 RGB.

    Floating point is [0, 1] where no value is above 4 (a highlight may be above 1), else [0, 255], or [0, 65535].
    Other integers than uint8 and uint16 are [0, 255] or [0, 65535] where no value is above, else up to their largest
    number. Negative values become 0.
    """
    if image.dtype != np.uint8:
        values = np.nan_to_num(image.astype(np.float32), nan=0, posinf=0, neginf=0)
        image = np.rint(np.clip(values * _scale(image.dtype, float(values.max(initial=0))), 0, 255)).astype(np.uint8)
    channels = 1 if image.ndim == 2 else image.shape[2]
    code = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}[channels]
    return np.asarray(cv2.cvtColor(image, code), np.uint8)


def _scale(dtype: np.dtype[Any], peak: float) -> float:
    """The factor to [0, 255] of values up to `peak`."""
    if dtype == np.uint16:
        return 1 / 257
    if dtype.kind == "f":
        return 1 / 257 if peak > 1024 else 255 if peak <= 4 else 1
    largest = np.iinfo(dtype).max
    if peak <= 255 and largest > 255:
        return 1
    return 1 / 257 if peak <= 65535 < largest else 255 / largest
