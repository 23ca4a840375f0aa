"""Images as the frames of a video: a single file, a folder in natural order, or the matches of a pattern."""

from __future__ import annotations

import functools
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files.pattern import matching_paths
from ..frame import SourceInfo
from .icc_profile import wide_profile
from .image_kinds import has_several_frames, read_head
from .image_numbering import numbering_notes
from .read_image import EXPECTED, SUFFIXES, read_image
from .undecoded_frame import UndecodedFrame
from .video_stream import is_video

FRAME_RATE = Fraction(25)  # images have no times of their own


class ImageSource:
    """The images at `paths`, in that order, 25 a second.

    16-bit, floating-point, gray and palette images become 8-bit RGB, an alpha channel is dropped (the colors stay as
    they are stored), and the orientation is applied. Of a file with several frames or pages the first counts, which is
    noted. An image that cannot be read raises InputError when its turn comes: left out, all masks after it would belong
    to the wrong image.
    """

    def __init__(self, name: str, paths: list[Path], *, folder: Path | None = None) -> None:
        """`folder` is the one that `paths` are all images of; videos in it are noted."""
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
        self._of_names = numbering_notes(name, paths)
        videos = sorted(path for path in folder.iterdir() if is_video(path.name)) if folder else []
        if videos:
            self._of_names.append(
                f"{name}: the images are read, not {_first_and_more(videos)}. Fix: for a video, name it: {videos[0]}"
            )
        self._several: list[Path] = []  # with several frames, of which the first is read
        self._wide: dict[str, list[Path]] = defaultdict(list)  # by the name of their color space

    @property
    def notes(self) -> list[str]:
        notes = list(self._of_names)
        if self._several:
            notes.append(
                f"{self.info.name}: several frames in {_first_and_more(self._several)}; each image of a folder is one "
                f"frame, so the first one is read. Fix: for all frames, name the file: {self._several[0]}"
            )
        for profile, paths in self._wide.items():
            notes.append(
                f"{self.info.name}: colors in {profile} in {_first_and_more(paths)}; they are read as sRGB. "
                "Fix where the exact colors matter: convert to sRGB first"
            )
        return notes

    def frames(self) -> Iterator[UndecodedFrame]:
        for pts, path in enumerate(self._paths):
            yield UndecodedFrame(pts=pts, to_rgb=functools.partial(self._read, path))

    def _read(self, path: Path) -> NDArray[np.uint8]:
        image = read_image(path)
        head = read_head(path)
        if has_several_frames(path, head):
            self._several.append(path)
        profile = wide_profile(head)
        if profile is not None:
            self._wide[profile].append(path)
        return image

    def close(self) -> None:
        """Nothing is kept open."""


def is_image(path: Path) -> bool:
    """By its name; hidden files (such as `._a.jpg`, which macOS leaves on foreign disks) are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def images_in(folder: Path) -> list[Path]:
    """The images directly in `folder`, in natural order (`frame2` before `frame10`). Raises InputError for none."""
    try:
        entries = sorted(folder.iterdir())
        images = in_natural_order(path for path in entries if is_image(path) and path.is_file())
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read ({error.strerror}). Fix: chmod u+rx") from error
    if not images:
        readable = (path for path in entries if path.is_dir() and os.access(path, os.R_OK | os.X_OK))
        folders = [path for path in readable if any(map(is_image, path.iterdir()))]
        fix = (
            f"name one of its folders, e.g. {folders[0]}; for all of them: amc-batch --image-folders"
            if folders
            else "for a video, name the file, not its folder"
        )
        raise InputError(f"{folder}: the folder holds no images; expected {EXPECTED}. Fix: {fix}")
    return images


def images_matching(pattern: str) -> list[Path]:
    """The images that a glob pattern (`frames/*.png`, `**` too) matches, in natural order. Raises InputError."""
    matches = matching_paths(pattern)
    images = in_natural_order(path for path in matches if is_image(path) and path.is_file())
    if not images:
        found = f"matches {len(matches)} files, but none is an image" if matches else "matches no file"
        raise InputError(f"{pattern}: the pattern {found}; expected {EXPECTED}")
    return images


def images_numbered(pattern: str) -> list[Path]:
    """The images that a numbered pattern (`frames/%04d.png`, as in FFmpeg) matches, by number. Raises InputError."""
    path = Path(pattern)
    expression = re.compile(re.sub(r"%(?:0(\d+))?d", _digits, re.escape(path.name).replace("\\%", "%")))
    found = [file for file in path.parent.glob("*") if expression.fullmatch(file.name) and is_image(file)]
    if not found:
        raise InputError(f"{pattern}: the pattern matches no image; expected {EXPECTED}")
    return in_natural_order(found)


def _first_and_more(paths: list[Path]) -> str:
    return f"{paths[0].name} and {len(paths) - 1} more" if len(paths) > 1 else paths[0].name


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
