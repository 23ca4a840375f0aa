"""Make the animation at the top of the README: python -m amcnet.benchmarks.studies.readme_picture [-o docs/amcnet.webp]

Segments the demo footage with the bundled network and writes video and overlay side by side as an animated WebP. Needs
Pillow (pip install '.[test]').
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.command import cli_entry_point
from ...runtime.extras import require
from ...runtime.files.atomic import replacing
from ...runtime.output.overlay import blend
from ...runtime.segmenter import Segmenter
from ..demo import FOOTAGE

PANEL = (426, 240)  # width, height of each half in px
STRIDE = 2  # every second frame: 12.5 frames per second
DURATION_MS = 80
GAP_PX = 4


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m amcnet.benchmarks.studies.readme_picture",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", default=Path("docs/amcnet.webp"))
    parser.add_argument(
        "--quality", type=int, default=75, metavar="0-100", help="quality of the WebP frames (default: 75)"
    )
    arguments = parser.parse_args()
    require("readme_picture", "PIL")
    write_animation(arguments.output, side_by_side(FOOTAGE), arguments.quality)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1000:.0f} kB")
    return 0


def side_by_side(video: Path) -> list[NDArray[np.uint8]]:
    """Every STRIDE-th frame of `video`, (h, w, 3) uint8 RGB: the frame on the left, its overlay on the right.

    All frames are segmented: with a stride in the reader, the optical flow would span STRIDE frames.
    """
    panels = []
    with Segmenter.load() as segmenter:
        for m in segmenter.video(video):
            if m.index % STRIDE == 0:
                halves = (m.frame.pixels, blend(m.frame.pixels, m.mask))
                left, right = (cv2.resize(half, PANEL, interpolation=cv2.INTER_AREA) for half in halves)
                gap = np.full((PANEL[1], GAP_PX, 3), 255, np.uint8)
                panels.append(np.asarray(np.hstack([left, gap, right]), np.uint8))
    return panels


def write_animation(path: Path, frames: list[NDArray[np.uint8]], quality: int) -> None:
    """Write `frames` as a WebP that loops endlessly. Raises OutputError."""
    from PIL import Image

    first, *others = (Image.fromarray(frame) for frame in frames)
    with replacing(path) as temporary:
        first.save(
            temporary,
            format="WEBP",
            save_all=True,
            append_images=others,
            duration=DURATION_MS,
            loop=0,
            quality=quality,
            method=6,
        )


if __name__ == "__main__":
    sys.exit(main())
