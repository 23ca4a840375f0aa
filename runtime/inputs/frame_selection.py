"""Which frames of clips tell a network's calibration the most: slow and fast ones, moving cameras, and cuts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..opencv_state import single_threaded_opencv
from ..video.reader import open_frames

_GRID = (128, 128)  # where motion is measured: 0.3 ms a pair
_CUT = 55.0  # gray levels by which two neighboring frames differ on average; the fastest pan of DAVIS-2016 has 47
_CUTS = 20  # one chosen frame in so many may be a cut, if there are any


@dataclass(frozen=True, kw_only=True)
class FrameMotion:
    """What frame `index` of `clip` does until the next one, in shares of the picture's side.

    camera: the median motion. inside: what the fastest twentieth of the picture does besides it. cut: whether the next
    frame shows something else.
    """

    clip: str
    index: int
    camera: float
    inside: float
    cut: bool


def choose_frames(clips: Sequence[str | Path], count: int) -> list[tuple[str, int]]:
    """(clip, index) of up to `count` frames of `clips`, as `ClipInputs(chosen=...)` takes them; the same each time.

    Half of them at even ranks of the motion inside the picture, half at even ranks of the camera's, so that the slowest
    and the fastest are among them; and some cuts. Raises InputError as `open_frames`.
    """
    motions: list[FrameMotion] = []
    for clip in clips:
        found = list(clip_motion(clip))
        if not found:
            raise InputError(f"{clip} has one frame; expected two or more, since motion is between two")
        motions += found
    if not motions:
        raise InputError("there are no clips; expected one or more")
    return select_evenly(motions, count)


def clip_motion(clip: str | Path) -> Iterable[FrameMotion]:
    """The motion of each frame of `clip` but the last. Raises InputError."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    with single_threaded_opencv, open_frames(clip) as reader:
        for (index, gray), (_, following) in pairwise((frame.index, _gray(frame.pixels)) for frame in reader):
            flow = dis.calc(gray, following, None) / np.float32(_GRID[0])  # type: ignore[call-overload]  # (h, w, 2)
            middle = np.median(flow.reshape(-1, 2), axis=0)
            beside = np.linalg.norm(flow - middle, axis=2)
            yield FrameMotion(
                clip=str(clip),
                index=index,
                camera=float(np.linalg.norm(middle)),
                inside=float(np.percentile(beside, 95)),
                cut=float(cv2.absdiff(gray, following).mean()) > _CUT,
            )


def select_evenly(motions: Sequence[FrameMotion], count: int) -> list[tuple[str, int]]:
    """Up to `count` of the frames of `motions`, in their order there."""
    cuts = [motion for motion in motions if motion.cut]
    chosen = {(m.clip, m.index): None for m in _evenly(cuts, -(-count // _CUTS))}
    rest = [motion for motion in motions if not motion.cut] or cuts
    by_inside = sorted(rest, key=lambda m: m.inside)
    by_camera = sorted(rest, key=lambda m: m.camera)
    # A frame may be at an even rank of both: then more ranks are needed for as many frames.
    for ranks in range(min((count - len(chosen)) // 2, len(rest)), len(rest) + 1):
        both = [*_evenly(by_inside, ranks), *_evenly(by_camera, ranks)]
        wider = chosen | {(m.clip, m.index): None for m in both}
        if len(wider) >= min(count, len(rest)) or ranks == len(rest):
            chosen = dict.fromkeys(list(wider)[:count])
            break
    return [(m.clip, m.index) for m in motions if (m.clip, m.index) in chosen]


def _evenly(motions: Sequence[FrameMotion], count: int) -> list[FrameMotion]:
    """`count` of `motions`, the first and the last among them."""
    places = np.unique(np.linspace(0, len(motions) - 1, min(count, len(motions))).round().astype(int))
    return [motions[place] for place in places]


def _gray(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    gray = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(gray, _GRID, interpolation=cv2.INTER_AREA), np.uint8)
