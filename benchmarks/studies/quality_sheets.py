"""Make the contact sheets of docs/quality.md: python -m amcnet.benchmarks.studies.quality_sheets [-o docs]

Segments the demo footage and a rendered clip with ground truth, with the bundled network, and writes
quality-film.webp and quality-rendered.webp.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.command import cli_entry_point
from ...runtime.files.atomic import make_folder, replacing
from ...runtime.infer import InferOptions, infer
from ...runtime.output.overlay import blend
from ...runtime.segmenter import Segmenter
from ..accuracy.contact_sheet import contact_sheet
from ..accuracy.evaluation import evaluate
from ..demo import FOOTAGE
from ..demo_clip import render_frame, write_annotations, write_clip

COLUMNS, ROWS = 4, 4
CELL = (320, 180)  # width, height in px
RENDERED_FRAMES = 48
_QUALITY = 80  # of WebP, 0 to 100


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", default=Path("docs"))
    folder = parser.parse_args().output
    make_folder(folder)
    for name, sheet in (("film", film_sheet(FOOTAGE)), ("rendered", rendered_sheet())):
        path = folder / f"quality-{name}.webp"
        write_picture(path, sheet)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    return 0


def film_sheet(video: Path) -> NDArray[np.uint8]:
    """Overlays of COLUMNS x ROWS frames that are spread evenly over `video`: (h, w, 3) uint8 RGB."""
    with Segmenter.load(precision="fp32") as segmenter:
        overlays = [
            np.asarray(cv2.resize(blend(m.frame.pixels, m.mask), CELL, interpolation=cv2.INTER_AREA), np.uint8)
            for m in segmenter.video(video)
        ]
    shown = np.linspace(0, len(overlays) - 1, COLUMNS * ROWS).round().astype(int)
    rows = [np.hstack([overlays[index] for index in row]) for row in shown.reshape(ROWS, COLUMNS)]
    return np.vstack(rows)


def rendered_sheet() -> NDArray[np.uint8]:
    """The evaluation of a rendered clip, whose true masks are known: (h, 1600, 3) uint8 RGB."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("annotations", "images"):
            make_folder(folder / name)
        write_clip(folder / "clip.mp4", RENDERED_FRAMES)
        write_annotations(folder / "annotations", RENDERED_FRAMES)
        for index in range(RENDERED_FRAMES):
            frame, _ = render_frame(index)
            cv2.imwrite(str(folder / "images" / f"{index:05d}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        infer(InferOptions(source=folder / "clip.mp4", output=folder / "rendered", precision="fp32"))
        return contact_sheet(evaluate(folder / "rendered", folder / "annotations"), folder / "images")


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """Write `image`, (h, w, 3) uint8 RGB, as WebP. Raises OutputError."""
    encoded = cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


if __name__ == "__main__":
    sys.exit(main())
