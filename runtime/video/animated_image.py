"""Images with several frames: animated WebP and TIFF with several pages. (APNG and GIF are read as videos.)"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..frame import SourceInfo
from ..opencv_state import silent_opencv
from .image_source import FRAME_RATE
from .read_image import to_rgb8
from .tiff import TiffPage, frame_pages, require_supported
from .undecoded_frame import UndecodedFrame

_AT_ONCE = 16  # frames decoded in one call: OpenCV decodes all frames before the first wanted one again


class AnimatedWebp:
    """The frames of an animated WebP, composited, with the delay of each."""

    def __init__(self, name: str, path: Path) -> None:
        if not hasattr(cv2, "imdecodeanimation"):
            raise InputError(
                f"{name}: got an animated WebP and OpenCV {cv2.__version__}, which reads its first frame only. "
                "Fix: pip install 'opencv-python-headless>=4.12'"
            )
        self._name = name
        stored = path.read_bytes()
        self._delays_ms, end = _webp_delays(stored)
        whole = end == 8 + int.from_bytes(stored[4:8], "little")
        # Of a cut file the frames that are whole, in a container of their length.
        self._stored = np.frombuffer(stored[:4] + (end - 8).to_bytes(4, "little") + stored[8:end], np.uint8)
        self.info = SourceInfo(
            name=name, time_base=Fraction(1, 1000), frame_rate=None, expected_frames=len(self._delays_ms), video=None
        )
        self.truncated = None if whole else f"{name}: cut short: it ends after {len(self._delays_ms)} frames"
        self.notes: list[str] = []

    def frames(self) -> Iterator[UndecodedFrame]:
        pts, decoded = 0, _Decoded(self._decode)
        for index, delay_ms in enumerate(self._delays_ms):
            # Browsers show a frame without a delay for 100 ms.
            duration = delay_ms or 100
            yield UndecodedFrame(pts=pts, to_rgb=functools.partial(decoded.frame, index), duration=duration)
            pts += duration

    def close(self) -> None:
        """Nothing is kept open."""

    def _decode(self, first: int, count: int) -> list[NDArray[np.uint8]]:
        with silent_opencv:
            found, animation = cv2.imdecodeanimation(self._stored, start=first, count=count)
        if not found or len(animation.frames) == 0:
            raise InputError(f"{self._name}: frame {first} cannot be decoded: the file is damaged; save it anew")
        return [to_rgb8(np.asarray(frame)) for frame in animation.frames]


class TiffPages:
    """The pages of a TIFF as frames, 25 a second. Thumbnails, masks and pages of another size are left out."""

    def __init__(self, name: str, path: Path, pages: list[TiffPage]) -> None:
        self._name, self._path = name, path
        self._pages = frame_pages(pages)
        for page in self._pages:
            require_supported(path, pages[page])
        self._is_signed = pages[0].is_signed
        self.info = SourceInfo(
            name=name, time_base=1 / FRAME_RATE, frame_rate=FRAME_RATE, expected_frames=len(self._pages), video=None
        )
        self.truncated: str | None = None
        left_out = len(pages) - len(self._pages)
        others = f"{left_out} of {len(pages)} pages are thumbnails, masks or of another size, and are left out"
        self.notes = [f"{name}: {others}"] * bool(left_out)

    def frames(self) -> Iterator[UndecodedFrame]:
        decoded = _Decoded(self._decode)
        for pts, page in enumerate(self._pages):
            yield UndecodedFrame(pts=pts, to_rgb=functools.partial(decoded.frame, page))

    def close(self) -> None:
        """Nothing is kept open."""

    def _decode(self, first: int, count: int) -> list[NDArray[np.uint8]]:
        with silent_opencv:
            for flags in (cv2.IMREAD_COLOR, cv2.IMREAD_UNCHANGED)[self._is_signed :]:  # the second for floating point
                found, pages = cv2.imreadmulti(str(self._path), first, count, [], flags)
                if found and len(pages) > 0:
                    return [to_rgb8(np.asarray(page)) for page in pages]
        raise InputError(f"{self._name}: page {first} cannot be decoded: the file is damaged; save it anew")


class _Decoded:
    """Decodes frames in groups of `_AT_ONCE` and keeps the latest group."""

    def __init__(self, decode: Callable[[int, int], list[NDArray[np.uint8]]]) -> None:
        self._decode = decode
        self._first = 0
        self._group: list[NDArray[np.uint8]] = []

    def frame(self, index: int) -> NDArray[np.uint8]:
        if not self._first <= index < self._first + len(self._group):
            self._first = index
            self._group = self._decode(index, _AT_ONCE)
        return self._group[index - self._first]


def _webp_delays(stored: bytes) -> tuple[list[int], int]:
    """The delays in milliseconds of the frames that are whole, and where the last whole chunk ends."""
    delays, position = [], 12
    declared = 8 + int.from_bytes(stored[4:8], "little")
    while position + 8 <= declared:
        length = int.from_bytes(stored[position + 4 : position + 8], "little")
        following = position + 8 + length + length % 2
        if following > len(stored):
            break
        if stored[position : position + 4] == b"ANMF":
            delays.append(int.from_bytes(stored[position + 20 : position + 23], "little"))
        position = following
    return delays, position
