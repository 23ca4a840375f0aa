"""Segment the two demo clips: four seconds of an animated film, and a synthetic clip with ground truth.

`make demo` runs this with the bundled network. The footage is an excerpt of Big Buck Bunny (CC BY 3.0, Blender
Foundation); see demo_data/README.md.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from contextlib import closing
from pathlib import Path

from ..runtime.command import cli_entry_point
from ..runtime.files.atomic import make_folder
from ..runtime.infer import InferOptions, infer
from ..runtime.output.progress import Progress
from .accuracy.evaluation import evaluate
from .demo_clip import write_annotations, write_clip

FOOTAGE = Path(__file__).parent / "demo_data" / "big-buck-bunny.mp4"
DRAWN_FRAMES = 24


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m amcnet.benchmarks.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--amcnet", type=Path, metavar="FILE", help="AMC-Net as ONNX (default: the bundled network)")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", default=Path("demo"), help="output folder (default: demo)"
    )
    arguments = parser.parse_args()
    output = arguments.output
    footage, drawn, annotations = output / FOOTAGE.name, output / "drawn.mp4", output / "drawn-annotations"
    make_folder(annotations)

    print("1. Footage: 4 s of Big Buck Bunny, (c) 2008 Blender Foundation, www.bigbuckbunny.org, CC BY 3.0", flush=True)
    shutil.copyfile(FOOTAGE, footage)
    _segment(footage, output / "big-buck-bunny", arguments.amcnet)

    print("\n2. Synthetic clip: a textured object in front of a moving background, with ground truth", flush=True)
    write_clip(drawn, DRAWN_FRAMES)
    write_annotations(annotations, DRAWN_FRAMES)
    _segment(drawn, output / "drawn", arguments.amcnet)
    score = evaluate(output / "drawn", annotations).region.mean
    print(f"   ground truth {annotations}\n   mean IoU with the true masks (J): {100 * score:.1f} %")

    print(f"\nOpen {output / 'big-buck-bunny' / 'overlay.mp4'} in a video player: the object is tinted red.")
    print("Your own video: .venv/bin/amc-infer video.mp4, or with the larger network: --model base")
    return 0


def _segment(source: Path, output: Path, amcnet: Path | None) -> None:
    """Segment `source` and print the paths of the results."""
    with closing(Progress()) as progress:
        report = infer(InferOptions(source=source, output=output, amcnet=amcnet, overwrite=True), progress)
    speed = f"{report['seconds']:.1f} s, {report['fps']:.1f} frames/s"
    print(f"   {report['frames']} frames in {speed} ({report['backend']})")
    print(f"   source   {source}\n   overlay  {output / 'overlay.mp4'}\n   masks    {output / 'masks'}")


if __name__ == "__main__":
    sys.exit(main())
