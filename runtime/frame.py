"""Values that enter and leave the runtime: frames, masks, and the description of their source."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .explanation import Explanation
from .pixels import to_rgb8


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video, upright (the rotation of the container is applied).

        Frame(image, index=0, pts=0, pts_seconds=0.0)

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
            raise ValueError(
                f"pixels are {self.pixels.dtype} {self.pixels.shape}; expected uint8 (H, W, 3). "
                "Fix: Frame.from_array converts other arrays"
            )

    @classmethod
    def from_array(cls, array: NDArray[Any], *, index: int, pts_seconds: float, order: str = "rgb") -> Frame:
        """A frame with a copy of `array`, converted to (H, W, 3) uint8 RGB; `pts` is in microseconds.

            Frame.from_array(cv2.imread("frame.png"), index=0, pts_seconds=0.0, order="bgr")

        Args:
            array: uint8 or uint16 (its full range), (H, W), (H, W, 3) or (H, W, 4), contiguous or not.
            order: order of the channels, "rgb" or "bgr". An alpha channel is dropped.

        Raises InputError for another array or order.
        """
        return cls(to_rgb8(array, order), index=index, pts=round(1e6 * pts_seconds), pts_seconds=pts_seconds)


@dataclass(frozen=True, eq=False)
class MaskFrame:
    """The mask of one frame, at the size of the frame.

        for m in segmenter.video("clip.mp4"):  # m is a MaskFrame
            m.frame.pixels[~m.mask] = 0

    `mask` is (H, W) bool, True on the object. `probability` is (H, W) float32 in [0, 1]. `index` and `pts_seconds` are
    those of `frame`. `explanation` is there if the Segmenter was loaded with `explain=True`. MaskFrame(...) raises
    ValueError for other shapes or types.
    """

    frame: Frame
    mask: NDArray[np.bool_]
    probability: NDArray[np.float32]
    explanation: Explanation | None = None

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
    """Description of a source, known before its first frame is read.

    `frame_rate` is the source's own fraction (30000/1001 stays), None where there is none (a folder of images).
    `expected_frames` is how many frames will come after `start`, `frames` and `stride`, None if that is not known.
    `video` is the file that audio can be copied from, None for images and for standard input; `url` is the address in
    its place of a file on a web server. `video_stream` is the index of its stream that is read. `names` are the file
    names of the images, empty for a video. `sample_aspect_ratio` is the width of a pixel over its height.
    """

    name: str
    time_base: Fraction
    frame_rate: Fraction | None = None
    expected_frames: int | None = None
    video: Path | None = None
    url: str | None = field(default=None, repr=False)  # may hold a password
    video_stream: int = 0
    sample_aspect_ratio: Fraction = Fraction(1)
    names: tuple[str, ...] = ()
