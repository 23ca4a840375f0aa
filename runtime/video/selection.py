"""The frames of a source that are wanted, as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import InputError

DEINTERLACE = ("auto", "yes", "no")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Every `stride`-th frame from `start` on, at most `frames` of them (None: all).

    Args:
        start: index of the first frame, from 0.
        frames: maximum number of frames; None: all.
        stride: distance between two frames, 1 for every frame.
        duration: seconds after the first frame at which the selection ends, in the time of the source; None: no end.
        video_stream: place of the stream among the video streams of the file, from 0; None: the main one.
        deinterlace: "auto" (frames that are marked as interlaced), "yes" (all frames) or "no".

    Raises InputError for a value out of range.

        Selection(start=100, frames=50)
    """

    start: int = 0
    frames: int | None = None
    stride: int = 1
    duration: float | None = None
    video_stream: int | None = None
    deinterlace: str = "auto"

    def __post_init__(self) -> None:
        if self.start < 0 or self.stride < 1 or (self.frames is not None and self.frames < 1):
            raise InputError(
                f"start {self.start}, frames {self.frames}, stride {self.stride}: expected start 0 or more, frames and "
                "stride 1 or more"
            )
        if self.duration is not None and not 0 < self.duration < math.inf:
            raise InputError(f"duration: got {self.duration}, expected seconds above 0, such as 60")
        if self.deinterlace not in DEINTERLACE:
            raise InputError(f"deinterlace: got {self.deinterlace!r}, expected {', '.join(DEINTERLACE)}")
