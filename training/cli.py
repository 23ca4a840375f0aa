"""amc-train: annotated video and pictures -> the weights of an AMC-Net."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..runtime.command import cli_entry_point
from ..runtime.errors import InputError
from ..runtime.extras import require
from .recipe import RECIPES

_EXAMPLES = """examples:
  amc-train -o out                                   the light network on drawn clips alone: no data needed
  amc-train --davis DAVIS --pictures DUTS --encoder mobilenet_v2_imagenet.npz -o out
  amc-train --davis DAVIS --pictures DUTS --encoder mobilenet_v2_imagenet.npz -o out --resume
  amc-train --davis DAVIS --pictures DUTS --init out/last.pth --frozen-stages 3 -o longer
  amc-train --recipe paper --davis DAVIS --encoder resnet101.pth -o paper
"""


@cli_entry_point
def main() -> int:
    """The command; see `amc-train --help`."""
    parser = argparse.ArgumentParser(
        prog="amc-train", description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="light", help="default: light")
    parser.add_argument(
        "--davis", type=Path, metavar="DIR", help="DAVIS-2016: JPEGImages, Annotations; eight of it are held out"
    )
    parser.add_argument(
        "--sequences", type=Path, metavar="FILE", help="names of the DAVIS sequences to use, one a line"
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="stills with masks: images/NAME.jpg (or .png, .webp, .tif), masks/NAME.png, as DUTS",
    )
    parser.add_argument("--encoder", type=Path, metavar="FILE", help="ImageNet weights: .npz (light) or .pth (paper)")
    parser.add_argument("--init", type=Path, metavar="FILE", help="begin with these weights, such as out/last.pth")
    parser.add_argument("--iterations", type=int, metavar="N", help="instead of the recipe's number")
    parser.add_argument(
        "--frozen-stages", type=int, metavar="N", help="stages of the encoders that keep their first weights: faster"
    )
    parser.add_argument(
        "--no-hold-out", dest="hold_out", action="store_false", help="train on all sequences; no validation"
    )
    parser.add_argument("--validate-every", type=int, default=400, metavar="N", help="iterations; default: 400")
    parser.add_argument("--resume", action="store_true", help="go on where the training in the output folder stopped")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", required=True, help="weights, log, curve, flow")
    options = vars(parser.parse_args())
    require("amc-train", "torch", "safetensors", "matplotlib", extra="train")
    from .loop import train  # here, because importing torch takes 2 s that --help need not wait for

    recipe, listing = RECIPES[options.pop("recipe")], options.pop("sequences")
    if listing is not None and not listing.is_file():
        raise InputError(f"{listing}: no such file; expected one name of a DAVIS sequence per line")
    weights = train(recipe, options.pop("output"), sequences=listing and listing.read_text().split(), **options)
    print(f"the weights are in {weights}")
    return 0
