"""Selection of calibration frames, spread evenly over object and camera motion, with some cuts."""

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

_GRID = (128, 128)  # size at which motion is measured: 0.3 ms per pair
_CUT = 55.0  # gray levels of mean difference between neighboring frames; the fastest pan of DAVIS-2016 has 47
_CUTS = 20  # at most one in 20 selected frames is a cut


@dataclass(frozen=True, kw_only=True)
class FrameMotion:
    """Motion from frame `index` of `clip` to the next one, as a fraction of the image's side.

    camera: length of the median flow. inside: 95th percentile of the flow's distance from the median. cut: whether
    another shot begins with the next frame.
    """

    clip: str
    index: int
    camera: float
    inside: float
    cut: bool


def choose_frames(clips: Sequence[str | Path], count: int) -> list[tuple[str, int]]:
    """Select up to `count` frames of `clips`, deterministically: (clip, index), for `ClipInputs(chosen=...)`.

    Half of them are at even ranks of the motion inside the image, half at even ranks of the camera's motion, so that
    the slowest and the fastest are included; and some are cuts. Raises InputError as `open_frames`.
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
    """Measure the motion of each frame of `clip` except the last. Raises InputError."""
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
    """Select up to `count` of the frames of `motions`, in their order."""
    cuts = [motion for motion in motions if motion.cut]
    chosen = {(m.clip, m.index): None for m in _evenly(cuts, -(-count // _CUTS))}
    rest = [motion for motion in motions if not motion.cut] or cuts
    by_inside = sorted(rest, key=lambda m: m.inside)
    by_camera = sorted(rest, key=lambda m: m.camera)
    # A frame may be selected by both rankings: then more ranks are needed for the same number of frames.
    for ranks in range(min((count - len(chosen)) // 2, len(rest)), len(rest) + 1):
        both = [*_evenly(by_inside, ranks), *_evenly(by_camera, ranks)]
        wider = chosen | {(m.clip, m.index): None for m in both}
        if len(wider) >= min(count, len(rest)) or ranks == len(rest):
            chosen = dict.fromkeys(list(wider)[:count])
            break
    return [(m.clip, m.index) for m in motions if (m.clip, m.index) in chosen]


def _evenly(motions: Sequence[FrameMotion], count: int) -> list[FrameMotion]:
    """Select `count` of `motions` at even distances, the first and the last included."""
    places = np.unique(np.linspace(0, len(motions) - 1, min(count, len(motions))).round().astype(int))
    return [motions[place] for place in places]


def _gray(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    gray = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(gray, _GRID, interpolation=cv2.INTER_AREA), np.uint8)
