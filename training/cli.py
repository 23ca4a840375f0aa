"""Train an AMC-Net from annotated videos and still images (amc-train)."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..runtime.command import cli_entry_point
from ..runtime.errors import InputError
from ..runtime.extras import require
from .recipe import RECIPES

_EXAMPLES = """examples:
  amc-train -o out                                   without data, on procedurally generated clips only
  amc-train --davis DAVIS --pictures DUTS --encoder mobilenet_v2_imagenet.npz -o out
  amc-train --davis DAVIS --pictures DUTS --encoder mobilenet_v2_imagenet.npz -o out --resume
  amc-train --davis DAVIS --pictures DUTS --init out/last.pth --frozen-stages 3 -o longer
  amc-train --pictures MY --recipe open --encoder mobilenet_v2_imagenet.npz -o own
  amc-train --recipe paper --davis DAVIS --encoder resnet101.pth -o paper
  amc-train --davis DAVIS --flow raft.onnx -o with-raft

exit status: 0 done, 2 an error with a message that states the fix, 130 Ctrl-C
"""


@cli_entry_point
def main() -> int:
    """Run the command; see `amc-train --help`."""
    options = vars(_parser().parse_args())
    require("amc-train", "torch", "safetensors", "matplotlib", extra="train")
    from .loop import train  # imports torch, which takes 2 s

    recipe, listing = RECIPES[options.pop("recipe")], options.pop("sequences")
    if listing is not None and not listing.is_file():
        raise InputError(f"{listing}: no such file; expected a text file with one name of a DAVIS sequence per line")
    weights = train(recipe, options.pop("output"), sequences=listing and listing.read_text().split(), **options)
    print(f"weights: {weights}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="amc-train", description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_data(parser)
    _add_first_weights(parser)
    _add_course(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        required=True,
        help="output folder: weights, state, log, curve, cached flow",
    )
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recipe",
        choices=sorted(RECIPES),
        default="light",
        help="settings of the training and the network; default: light",
    )
    parser.add_argument(
        "--davis", type=Path, metavar="DIR", help="DAVIS-2016 with JPEGImages and Annotations; see --no-hold-out"
    )
    parser.add_argument(
        "--sequences",
        type=Path,
        metavar="FILE",
        help="names of the DAVIS sequences to use, one per line; default: ImageSets/480p/train.txt, else all",
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="still images with masks, as in DUTS: images/NAME.jpg (or .png, .webp, .tif) and masks/NAME.png",
    )
    parser.add_argument(
        "--flow",
        default="dis",
        metavar="dis|FLOW.onnx",
        help="optical flow of all samples: dis (OpenCV), or a file of PWC-Net or RAFT, which takes 14 to 41 times as "
        "long; use the flow that inference will use; default: dis",
    )


def _add_first_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--encoder",
        type=Path,
        metavar="FILE",
        help="ImageNet weights of both encoders: .npz (light, base, open) or .pth (paper); default: random weights",
    )
    parser.add_argument(
        "--init",
        type=Path,
        metavar="FILE",
        help="initial weights of the whole network: a checkpoint such as out/last.pth, or an ONNX file of export-onnx; "
        "excludes --encoder and --resume",
    )


def _add_course(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--iterations", type=int, metavar="N", help="number of batches; default: the recipe's")
    parser.add_argument(
        "--learning-rate",
        type=float,
        metavar="RATE",
        help="of the decoder; that of the encoders is changed by the same factor; default: the recipe's",
    )
    parser.add_argument(
        "--frozen-stages",
        type=int,
        metavar="N",
        help="number of encoder stages, 0 to 5 from the finest, that keep their initial weights; default: the recipe's",
    )
    parser.add_argument(
        "--no-hold-out",
        dest="hold_out",
        action="store_false",
        help="train on all data, without validation; default: hold out eight sequences of DAVIS, or without DAVIS one "
        "image in 20",
    )
    parser.add_argument(
        "--validate-every", type=int, default=400, metavar="N", help="iterations between validations; default: 400"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the training in the output folder, with the same settings and data",
    )
