"""Images as the frames of a video: a single file, a folder in natural order, or the matches of a pattern."""

from __future__ import annotations

import functools
import glob
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..frame import SourceInfo
from ..opencv_state import silent_opencv
from .image_kinds import has_several_frames
from .image_numbering import numbering_notes
from .undecoded_frame import UndecodedFrame

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pbm", ".jp2", ".tga", ".dpx"}
)
FRAME_RATE = Fraction(25)  # images have no times of their own


class ImageSource:
    """The images at `paths`, in that order, 25 a second.

    16-bit, floating-point, gray and palette images become 8-bit RGB, an alpha channel is dropped (the colors stay as
    they are stored), and the EXIF orientation is applied. Of a file with several frames or pages the first counts,
    which is noted. An image that
    cannot be read raises InputError when its turn comes: left out, all masks after it would belong to the wrong image.
    """

    def __init__(self, name: str, paths: list[Path]) -> None:
        self._paths = paths
        self.info = SourceInfo(
            name=name,
            time_base=1 / FRAME_RATE,
            frame_rate=FRAME_RATE,
            expected_frames=len(paths),
            video=None,
            names=_names(paths),
        )
        self.truncated: str | None = None
        self._numbering = numbering_notes(name, paths)
        self._several: list[Path] = []  # with several frames, of which the first is read

    @property
    def notes(self) -> list[str]:
        if not self._several:
            return self._numbering
        first, more = self._several[0], len(self._several) - 1
        which = f"{first.name} and {more} more have" if more else f"{first.name} has"
        return [
            *self._numbering,
            f"{self.info.name}: {which} several frames; each image of a folder is one frame, so the first one is read. "
            f"Fix: for all frames, name the file: {first}",
        ]

    def frames(self) -> Iterator[UndecodedFrame]:
        for pts, path in enumerate(self._paths):
            yield UndecodedFrame(pts=pts, to_rgb=functools.partial(self._read, path))

    def _read(self, path: Path) -> NDArray[np.uint8]:
        image = read_image(path)
        if has_several_frames(path):
            self._several.append(path)
        return image

    def close(self) -> None:
        """Nothing is kept open."""


def is_image(path: Path) -> bool:
    """By its name; hidden files (such as `._a.jpg`, which macOS leaves on foreign disks) are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def images_in(folder: Path) -> list[Path]:
    """The images directly in `folder`, in natural order (`frame2` before `frame10`). Raises InputError for none."""
    images = in_natural_order(path for path in folder.iterdir() if is_image(path) and path.is_file())
    if not images:
        raise InputError(
            f"{folder}: the folder holds no images; expected files ending in {_listed(SUFFIXES)}. "
            "Fix: for a video, name the file, not its folder"
        )
    return images


def images_matching(pattern: str) -> list[Path]:
    """The images that a glob pattern (`frames/*.png`, `**` too) matches, in natural order. Raises InputError."""
    matches = [Path(match) for match in glob.glob(pattern, recursive=True)]
    images = in_natural_order(path for path in matches if is_image(path) and path.is_file())
    if not images:
        found = f"matches {len(matches)} files, but none is an image" if matches else "matches no file"
        raise InputError(f"{pattern}: the pattern {found}; expected images ending in {_listed(SUFFIXES)}")
    return images


def images_numbered(pattern: str) -> list[Path]:
    """The images that a numbered pattern (`frames/%04d.png`, as in FFmpeg) matches, by number. Raises InputError."""
    path = Path(pattern)
    expression = re.compile(re.sub(r"%(?:0(\d+))?d", _digits, re.escape(path.name).replace("\\%", "%")))
    found = [file for file in path.parent.glob("*") if expression.fullmatch(file.name) and is_image(file)]
    if not found:
        raise InputError(f"{pattern}: the pattern matches no image; expected files ending in {_listed(SUFFIXES)}")
    return in_natural_order(found)


def read_image(path: Path) -> NDArray[np.uint8]:
    """The image as (H, W, 3) uint8 RGB, upright. Raises InputError."""
    try:
        stored = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path}: the image cannot be read ({error.strerror})") from error
    if stored.size == 0:
        raise InputError(f"{path}: the image is empty (0 bytes); expected {_listed(SUFFIXES)}")
    try:
        with silent_opencv:  # the error below is clearer
            image = cv2.imdecode(stored, cv2.IMREAD_COLOR)
            if image is None:  # floating point, for one
                image = cv2.imdecode(stored, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:  # a size beyond OpenCV's limit, for one
        raise InputError(f"{path}: the image cannot be decoded ({error.err})") from error
    if image is not None:
        return to_rgb8(np.asarray(image))
    rgb = _read_by_ffmpeg(path)
    if rgb is None:
        raise InputError(
            f"{path}: the image cannot be decoded: damaged, or of another format than its suffix; save it anew"
        )
    return rgb


def to_rgb8(image: NDArray[Any]) -> NDArray[np.uint8]:
    """An image of OpenCV, (H, W) or (H, W, C) in BGR(A), as (H, W, 3) uint8 RGB.

    Floating point is [0, 1] where no value is above 4 (a highlight may be above 1), else [0, 255], or [0, 65535].
    """
    if image.dtype != np.uint8:
        values = np.nan_to_num(image.astype(np.float32), nan=0, posinf=0, neginf=0)
        peak = float(values.max(initial=0))
        scale = 1 / 257 if image.dtype == np.uint16 or peak > 1024 else 255 if peak <= 4 else 1
        image = np.rint(np.clip(values * scale, 0, 255)).astype(np.uint8)
    channels = 1 if image.ndim == 2 else image.shape[2]
    code = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}[channels]
    return np.asarray(cv2.cvtColor(image, code), np.uint8)


def _read_by_ffmpeg(path: Path) -> NDArray[np.uint8] | None:
    """Formats that OpenCV does not have: TGA, DPX."""
    if path.suffix.lower() not in (".tga", ".dpx", ".jp2"):
        return None
    try:
        with av.open(f"file:{path}") as container:
            return np.asarray(next(container.decode(video=0)).to_ndarray(format="rgb24"), np.uint8)
    except (av.FFmpegError, StopIteration, IndexError):
        return None


def _names(paths: list[Path]) -> tuple[str, ...]:
    """The file names, with their folders where they come from several."""
    several = len({path.parent for path in paths}) > 1
    return tuple(str(path) if several else path.name for path in paths)


def _digits(number: re.Match[str]) -> str:
    """A regular expression for `%d` or `%04d`."""
    return rf"\d{{{number.group(1)},}}" if number.group(1) else r"\d+"


def in_natural_order(paths: Iterable[Path]) -> list[Path]:
    def key(path: Path) -> tuple[list[str | int], str]:
        # re.split with a group alternates text and digits, so that equal places always compare alike.
        parts = re.split(r"([0-9]+)", str(path).lower())
        return [int(part) if place % 2 else part for place, part in enumerate(parts)], str(path)

    return sorted(paths, key=key)


def _listed(suffixes: Iterable[str]) -> str:
    return ", ".join(sorted(suffix.removeprefix(".") for suffix in suffixes))
