"""Segment a camera as it runs, with a delay of one frame.

python examples/live_camera.py 0             camera number 0, until Ctrl-C
python examples/live_camera.py clip.mp4      a file, decoded by OpenCV
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import cv2
from numpy.typing import NDArray

from amcnet import Segmenter


def camera_frames(camera: cv2.VideoCapture) -> Iterator[NDArray[Any]]:
    """Frames (H, W, 3) uint8 BGR until the camera or the file ends."""
    while (result := camera.read())[0]:
        yield result[1]


def main(source: str) -> None:
    camera = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not camera.isOpened():
        sys.exit(f"error: OpenCV cannot open {source}")
    camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # where segmentation is slower than the camera, old frames are dropped
    try:
        with Segmenter.load() as segmenter:
            for m in segmenter.stream(camera_frames(camera), order="bgr"):
                print(f"{m.pts_seconds:7.3f} s  object covers {100 * m.mask.mean():.1f} % of the frame")
    finally:
        camera.release()


if __name__ == "__main__":
    main(sys.argv[1])
