"""Segment a video and write one PNG mask per frame.

python examples/segment_video.py VIDEO MASKS_FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from amcnet import Segmenter


def segment_video(video: Path, folder: Path) -> int:
    """Write FOLDER/NNNNN.png, 0 and 255, at the video's size; return the number of frames."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with Segmenter.load() as segmenter:
        for m in segmenter.video(video):
            cv2.imwrite(str(folder / f"{m.index:05d}.png"), m.mask * np.uint8(255))
            print(f"{m.pts_seconds:7.3f} s  object covers {100 * m.mask.mean():.1f} % of the frame")
            count += 1
    return count


if __name__ == "__main__":
    segment_video(Path(sys.argv[1]), Path(sys.argv[2]))
