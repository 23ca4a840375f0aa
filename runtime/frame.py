"""The values that cross the runtime's doors: a frame in, a mask out, and what is known of where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video, as a person would see it (rotation applied).

    `pixels` is (H, W, 3) uint8 RGB. `index` counts the frames that were asked for, from 0. `pts` is the time of
    presentation in units of the source's `time_base`, `pts_seconds` the same in seconds. `duration` is in the unit of
    `pts`, for a frame with a duration of its own (GIF, APNG, WebP); the others last until the next.
    """

    pixels: NDArray[np.uint8]
    index: int
    pts: int
    pts_seconds: float
    duration: int | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ValueError(f"pixels are {self.pixels.dtype} {self.pixels.shape}; expected uint8 (H, W, 3)")


@dataclass(frozen=True, eq=False)
class MaskFrame:
    """The answer for one frame: `mask` (H, W) bool, `probability` (H, W) float32 in [0, 1], at the frame's own size."""

    frame: Frame
    mask: NDArray[np.bool_]
    probability: NDArray[np.float32]

    def __post_init__(self) -> None:
        size = self.frame.pixels.shape[:2]
        if self.mask.shape != size or self.mask.dtype != np.bool_ or self.probability.shape != size:
            raise ValueError(
                f"mask is {self.mask.dtype} {self.mask.shape}, probability {self.probability.shape}; "
                f"expected a bool mask and a probability of the frame's size {size}"
            )

    @property
    def index(self) -> int:
        return self.frame.index

    @property
    def pts_seconds(self) -> float:
        return self.frame.pts_seconds


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """What is known of a source before its first frame is read.

    `frame_rate` is the source's own fraction (30000/1001 stays), None where there is none (a folder of pictures).
    `expected_frames` is how many frames will come after `start`, `frames` and `stride`, None if that is not known.
    `video` is the file that audio can be copied from, None for images and for standard input; `video_stream` is the
    index of its stream that is read. `names` are the file names of the images, empty for a video.
    `sample_aspect_ratio` is the width of a pixel over its height.
    """

    name: str
    time_base: Fraction
    frame_rate: Fraction | None = None
    expected_frames: int | None = None
    video: Path | None = None
    video_stream: int = 0
    sample_aspect_ratio: Fraction = Fraction(1)
    names: tuple[str, ...] = ()
