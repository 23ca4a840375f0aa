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
    parser.add_argument("--amcnet", type=Path, help="ONNX file; made here with untrained weights if not given")
    parser.add_argument("-o", "--output", type=Path, default=Path("demo"), help="folder to write to (demo)")
    arguments = parser.parse_args()
    folder, amcnet = arguments.output, arguments.amcnet
    make_folder(folder / "annotations" / "clip")
    write_clip(folder / "clip.mp4", FRAMES)
    write_annotations(folder / "annotations" / "clip", FRAMES)
    print(f"made {folder / 'clip.mp4'}: {FRAMES} frames, 854x480, a body that moves before a panning scenery")

    if amcnet is None:
        from ..export import Seed, export_amcnet
        from ..models import AMCNetConfig

        print("no trained weights are at hand: exporting an AMC-Net (ResNet-18) with weights from a seed ...")
        amcnet = export_amcnet(Seed(number=1), folder, config=AMCNetConfig(backbone="resnet18")).file.path

    options = InferOptions(source=str(folder / "clip.mp4"), output=folder / "clip", amcnet=amcnet, overwrite=True)
    with closing(Progress()) as progress:
        report = infer(options, progress)
    score = evaluate(folder / "clip", folder / "annotations" / "clip").region.mean
    print(f"{report['frames']} frames in {report['seconds']:.1f} s on {report['backend']}")
    if not all(file["trained"] for file in report["settings"]["files"].values()):
        print("the weights are UNTRAINED: the masks mean nothing, everything around them is real")
    print(f"J against the true masks: {100 * score:.1f}")
    print(f"overlay: {folder / 'clip' / 'overlay.mp4'}\nmasks:   {folder / 'clip' / 'masks'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
