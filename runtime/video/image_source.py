"""Pictures as the frames of a video: a single file, a folder in natural order, or the matches of a glob pattern."""

from __future__ import annotations

import functools
import glob
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..frame import SourceInfo
from ..opencv_state import silent_opencv
from .undecoded_frame import UndecodedFrame

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"})
FRAME_RATE = Fraction(25)  # pictures have no times of their own


class ImageSource:
    """The pictures at `paths`, in that order, 25 a second.

    16-bit, gray and palette pictures become 8-bit RGB, an alpha channel is dropped (the colors stay as they are
    stored), and the EXIF orientation is applied. Of a file with several pages the first counts. A picture that cannot
    be read raises InputError when its turn comes: left out, all masks after it would belong to the wrong picture.
    """

    def __init__(self, name: str, paths: list[Path]) -> None:
        self._paths = paths
        self.info = SourceInfo(
            name=name, time_base=1 / FRAME_RATE, frame_rate=FRAME_RATE, expected_frames=len(paths), video=None
        )
        self.truncated: str | None = None

    def frames(self) -> Iterator[UndecodedFrame]:
        for pts, path in enumerate(self._paths):
            yield UndecodedFrame(pts=pts, to_rgb=functools.partial(read_image, path))

    def close(self) -> None:
        """Nothing is kept open."""


def is_image(path: Path) -> bool:
    """By its name; hidden files (such as `._a.jpg`, which macOS leaves on foreign disks) are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def images_in(folder: Path) -> list[Path]:
    """The pictures directly in `folder`, in natural order (`frame2` before `frame10`). Raises InputError for none."""
    pictures = in_natural_order(path for path in folder.iterdir() if is_image(path) and path.is_file())
    if not pictures:
        raise InputError(
            f"{folder}: the folder holds no pictures; expected files ending in {_listed(SUFFIXES)}. "
            "A video is named itself, not its folder"
        )
    return pictures


def images_matching(pattern: str) -> list[Path]:
    """The pictures that a glob pattern (`frames/*.png`, `**` too) matches, in natural order. Raises InputError."""
    matches = [Path(match) for match in glob.glob(pattern, recursive=True)]
    pictures = in_natural_order(path for path in matches if is_image(path) and path.is_file())
    if not pictures:
        found = f"matches {len(matches)} files, but none is a picture" if matches else "matches no file"
        raise InputError(f"{pattern}: the pattern {found}; expected pictures ending in {_listed(SUFFIXES)}")
    return pictures


def read_image(path: Path) -> NDArray[np.uint8]:
    """The picture as (H, W, 3) uint8 RGB, upright. Raises InputError."""
    try:
        stored = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path}: the picture cannot be read ({error.strerror})") from error
    if stored.size == 0:
        raise InputError(f"{path}: the picture is empty (0 bytes); expected {_listed(SUFFIXES)}")
    try:
        with silent_opencv:  # the error below says it better
            bgr = cv2.imdecode(stored, cv2.IMREAD_COLOR)
    except cv2.error as error:  # a size beyond OpenCV's limit, for one
        raise InputError(f"{path}: the picture cannot be decoded ({error.err})") from error
    if bgr is None:
        raise InputError(f"{path}: the picture cannot be decoded: damaged, or not what its name says; save it anew")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def in_natural_order(paths: Iterable[Path]) -> list[Path]:
    def key(path: Path) -> tuple[list[str | int], str]:
        # re.split with a group alternates text and digits, so that equal places always compare alike.
        parts = re.split(r"([0-9]+)", str(path).lower())
        return [int(part) if place % 2 else part for place, part in enumerate(parts)], str(path)

    return sorted(paths, key=key)


def _listed(suffixes: Iterable[str]) -> str:
    return ", ".join(sorted(suffix.removeprefix(".") for suffix in suffixes))
