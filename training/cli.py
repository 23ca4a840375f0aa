"""amc-train: annotated video and pictures -> the weights of an AMC-Net."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import command
from .loop import train
from .recipe import RECIPES


@command
def main() -> int:
    """The command; see `amc-train --help`."""
    parser = argparse.ArgumentParser(prog="amc-train", description=__doc__)
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="light")
    parser.add_argument("--davis", type=Path, help="DAVIS-2016 (JPEGImages, Annotations); a tenth of it is held out")
    parser.add_argument("--sequences", type=Path, help="file with one name of a DAVIS sequence per line")
    parser.add_argument("--pictures", type=Path, help="pictures with masks (images/*.jpg, masks/*.png), as DUTS")
    parser.add_argument("--encoder", type=Path, help="ImageNet weights of the encoders: .npz (light) or .pth (paper)")
    parser.add_argument("--iterations", type=int, help="instead of the recipe's number")
    parser.add_argument("--validate-every", type=int, default=400, metavar="ITERATIONS")
    parser.add_argument("--resume", action="store_true", help="go on where the training in the output folder stopped")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for weights, log and flow cache")
    options = parser.parse_args()
    names = options.sequences.read_text().split() if options.sequences else None
    best = train(
        RECIPES[options.recipe],
        options.output,
        davis=options.davis,
        sequences=names,
        pictures=options.pictures,
        encoder=options.encoder,
        iterations=options.iterations,
        validate_every=options.validate_every,
        resume=options.resume,
    )
    print(f"the best weights are in {best}")
    return 0
