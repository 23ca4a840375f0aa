"""Segment frames that do not come from a file: a camera, or an array in memory.

python examples/own_frames.py 0            camera number 0, until Ctrl-C
python examples/own_frames.py clip.npy     array (frames, height, width, 3), uint8 RGB
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from amcnet import Frame, MaskFrame, Segmenter


def camera_frames(number: int) -> Iterator[Frame]:
    """Frames of a camera; times are seconds since the first frame."""
    camera = cv2.VideoCapture(number)
    start = time.monotonic()
    try:
        index = 0
        while (result := camera.read())[0]:
            seconds = time.monotonic() - start
            pixels = cv2.cvtColor(result[1], cv2.COLOR_BGR2RGB)  # OpenCV delivers BGR
            yield Frame(np.asarray(pixels, np.uint8), index=index, pts=round(1000 * seconds), pts_seconds=seconds)
            index += 1
    finally:
        camera.release()


def array_frames(clip: NDArray[np.uint8], frames_per_second: float = 25.0) -> Iterator[Frame]:
    """Frames of an array (frames, height, width, 3), uint8 RGB."""
    for index, pixels in enumerate(clip):
        yield Frame(pixels, index=index, pts=index, pts_seconds=index / frames_per_second)


def segment(frames: Iterable[Frame]) -> Iterator[MaskFrame]:
    """Yield one mask per frame, at least two frames later: optical flow and the temporal filter need later frames."""
    with Segmenter.load() as segmenter:
        yield from segmenter.masks(frames)


if __name__ == "__main__":
    source = sys.argv[1]
    for m in segment(camera_frames(int(source)) if source.isdigit() else array_frames(np.load(source))):
        print(f"{m.pts_seconds:7.3f} s  object covers {100 * m.mask.mean():.1f} % of the frame")
