"""Segment frames that do not come from a file: an array in memory.

python examples/own_frames.py clip.npy     array (frames, height, width, 3), uint8 RGB
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amcnet import Frame, Segmenter


def array_frames(clip: NDArray[Any], frames_per_second: float = 25.0) -> Iterator[Frame]:
    """Frames of an array (frames, height, width, 3), uint8 RGB."""
    for index, pixels in enumerate(clip):
        yield Frame.from_array(pixels, index=index, pts_seconds=index / frames_per_second)


if __name__ == "__main__":
    with Segmenter.load() as segmenter:
        for m in segmenter.masks(array_frames(np.load(sys.argv[1]))):
            print(f"{m.pts_seconds:7.3f} s  object covers {100 * m.mask.mean():.1f} % of the frame")
