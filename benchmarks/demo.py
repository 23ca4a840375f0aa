"""`make demo`: a clip whose true masks are known, segmented and scored, in the first minute after installing."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from .. import command
from ..export.atomic import make_folder
from ..runtime.infer import InferOptions, infer
from ..runtime.progress import Progress
from .demo_clip import write_annotations, write_clip
from .evaluation import evaluate

FRAMES = 24


@command
def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m amcnet.benchmarks.demo", description=__doc__)
    parser.add_argument("--amcnet", type=Path, help="ONNX file (the trained one inside)")
    parser.add_argument("-o", "--output", type=Path, default=Path("demo"), help="folder to write to (demo)")
    arguments = parser.parse_args()
    folder = arguments.output
    make_folder(folder / "annotations" / "clip")
    write_clip(folder / "clip.mp4", FRAMES)
    write_annotations(folder / "annotations" / "clip", FRAMES)
    print(f"made {folder / 'clip.mp4'}: {FRAMES} frames, 854x480, a body that moves before a panning scenery")

    options = InferOptions(source=folder / "clip.mp4", output=folder / "clip", amcnet=arguments.amcnet, overwrite=True)
    with closing(Progress()) as progress:
        report = infer(options, progress)
    score = evaluate(folder / "clip", folder / "annotations" / "clip").region.mean
    print(f"{report['frames']} frames in {report['seconds']:.1f} s on {report['backend']}")
    print(f"J against the true masks: {100 * score:.1f}")
    print(f"overlay: {folder / 'clip' / 'overlay.mp4'}\nmasks:   {folder / 'clip' / 'masks'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
