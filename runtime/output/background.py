"""A new background behind the object: a color, an image, a video, or the blurred source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from ..closeable import Closeable
from ..errors import InputError
from ..frame import Frame, MaskFrame, SourceInfo
from ..video.reader import FrameReader, open_frames
from .cutout import Cutout
from .video_writer import VideoWriter

_COLOR = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
_BLUR_SHARE = 0.03  # standard deviation over the shorter side
_REDUCED_PX = 240  # shorter side of the image that is blurred


class Background(Closeable):
    """The background `named` by "blur", by a color "#00ff00", or by an image or a video.

    Images and videos are scaled to fill the frame and cut to it. A video begins with the first frame, keeps its own
    speed, and begins again at its end. Raises InputError for a file that cannot be read.
    """

    def __init__(self, named: str | Path) -> None:
        self._named = str(named)
        color = _COLOR.fullmatch(self._named)
        self._color = tuple(int(part, 16) for part in color.groups()) if color else None
        self._film: _Film | None = None
        if self._named.startswith("#") and color is None:
            raise InputError(f"background: got {self._named!r}, expected a color such as '#00ff00'")
        if self._color is None and self._named != "blur":
            try:
                self._film = _Film(self._named)
            except InputError as error:
                raise InputError(f"background: {error}") from error

    def behind(self, m: MaskFrame, alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The background (H, W, 3) uint8 RGB of frame `m`, whose object has opacity `alpha` (H, W)."""
        if self._color is not None:
            return np.full_like(m.frame.pixels, self._color)
        if self._film is None:
            return _blurred(m.frame.pixels, alpha)
        return _filling(self._film.at(m.pts_seconds), m.frame.pixels.shape[1], m.frame.pixels.shape[0])

    def close(self) -> None:
        if self._film is not None:
            self._film.close()


class _Film:
    """The image that a video shows at rising times, from its beginning again after its end."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._begin: float | None = None  # time of the first call
        self._reader: FrameReader = open_frames(source)
        self._frames: Iterator[Frame] = iter(self._reader)
        self._shown = next(self._frames)
        self._first, self._previous = self._shown, self._shown
        self._round_begin = 0.0  # seconds since the first call at which this round of the video began
        self._following = next(self._frames, None)
        self._is_still = self._following is None

    def at(self, seconds: float) -> NDArray[np.uint8]:
        """The image at `seconds`, counted from those of the first call."""
        self._begin = seconds if self._begin is None else self._begin
        while not self._is_still and seconds - self._begin + 1e-6 >= self._end():
            self._advance()
        return self._shown.pixels

    def _end(self) -> float:
        """When the image shown now ends; the last one of a round lasts as long as the one before it."""
        if self._following is not None:
            later = self._following.pts_seconds
        else:
            later = 2 * self._shown.pts_seconds - self._previous.pts_seconds
        return self._round_begin + max(later, self._shown.pts_seconds + 1e-3) - self._first.pts_seconds

    def _advance(self) -> None:
        if self._following is not None:
            self._previous, self._shown = self._shown, self._following
            self._following = next(self._frames, None)
            return
        self._round_begin = self._end()
        self._reader.close()
        self._reader = open_frames(self._source)
        self._frames = iter(self._reader)
        self._shown = next(self._frames)
        self._following = next(self._frames, None)

    def close(self) -> None:
        self._reader.close()


class BackgroundWriter(VideoWriter):
    """Writes the object in front of a new background, with the audio of the source.

    with BackgroundWriter(path, info, Cutout(Matte.make()), "#00ff00") as replaced:
        replaced.write(m)
    """

    def __init__(self, path: Path, info: SourceInfo, cutout: Cutout, named: str | Path) -> None:
        """`named` is that of `Background`. Raises InputError."""
        Background(named).close()
        self._cutout, self._named = cutout, named
        self._background: Background | None = None
        super().__init__(path, info, self._composite, name="background")

    def __enter__(self) -> Self:
        self._background = Background(self._named)
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        try:
            super().__exit__(*error)
        finally:
            if self._background is not None:
                self._background.close()

    def _composite(self, m: MaskFrame) -> NDArray[np.uint8]:
        assert self._background is not None
        alpha = self._cutout.alpha(m)
        share = alpha.astype(np.float32) / np.float32(255)
        behind = self._background.behind(m, alpha)
        return np.asarray(cv2.blendLinear(self._cutout.foreground(m), behind, share, 1 - share), np.uint8)


def _blurred(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame blurred without the object, whose colors would else shine around it."""
    height, width = alpha.shape
    scale = min(1.0, _REDUCED_PX / min(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    weight = cv2.resize(255 - alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] + 0.01
    image = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) * weight
    sigma = max(1.0, _BLUR_SHARE * min(size))
    image, near = (cv2.GaussianBlur(values, (0, 0), sigma) for values in (image, weight))
    small = np.clip(image / near[..., None], 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _filling(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """`image` scaled to cover `width` x `height`, and its middle."""
    scale = max(width / image.shape[1], height / image.shape[0])
    size = (max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = image if size == image.shape[1::-1] else cv2.resize(image, size, interpolation=interpolation)
    x, y = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(scaled[y : y + height, x : x + width])
