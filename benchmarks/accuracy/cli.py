"""Score masks against annotations (J and F), or measure their temporal stability in a video without annotations."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2

from ...runtime.command import cli_entry_point
from ...runtime.errors import InputError
from ...runtime.files.atomic import replacing
from .bootstrap import intervals, intervals_json
from .contact_sheet import contact_sheet
from .evaluation import evaluate
from .protocol import PROTOCOLS
from .report import evaluation_table, interval_line, stability_line
from .stability import video_stability

_EXAMPLES = """\
examples:
  amc-eval --masks results --annotations DAVIS/Annotations/480p --json davis16.json
  amc-eval --masks results --annotations DAVIS/Annotations/480p --bootstrap
  amc-eval --masks results --annotations DAVIS/Annotations/480p --images DAVIS/JPEGImages/480p --contact-sheet out.png
  amc-eval --masks results/clip --video clip.mp4

Masks are DIR/SEQUENCE/NNNNN.png or DIR/SEQUENCE/masks/NNNNN.png, for a single sequence also DIR/NNNNN.png or
DIR/masks/NNNNN.png, with the file names of their annotations. Every value above 0 is object.
exit status: 0 success, 2 error
"""


@cli_entry_point
def main() -> int:
    """Entry point of `amc-eval`."""
    arguments = _arguments()
    if arguments.video:
        _measure_stability(arguments)
    else:
        _evaluate(arguments)
    return 0


def _measure_stability(arguments: argparse.Namespace) -> None:
    """Print and write the temporal stability of the masks in the video."""
    stability = video_stability(arguments.video, arguments.masks, progress=True)
    print(stability_line(stability))
    _write_json(arguments.json, stability.to_json())


def _evaluate(arguments: argparse.Namespace) -> None:
    """Print the scores of the masks, and write them and the contact sheet if they are requested."""
    evaluation = evaluate(
        arguments.masks,
        arguments.annotations,
        protocol=arguments.protocol,
        sequences=_names(arguments.sequences) if arguments.sequences else None,
        progress=True,
    )
    figures = evaluation.to_json()
    print(evaluation_table(evaluation))
    if arguments.bootstrap:
        found = intervals(evaluation)
        print(interval_line(found, len(evaluation.sequences)))
        figures["bootstrap"] = intervals_json(found)
    _write_json(arguments.json, figures)
    if arguments.contact_sheet:
        sheet = contact_sheet(evaluation, arguments.images)
        _, png = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        with replacing(arguments.contact_sheet) as temporary:
            temporary.write_bytes(png.tobytes())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="amc-eval", description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--masks", type=Path, required=True, metavar="DIR", help="masks to score; layout below")
    truth = parser.add_mutually_exclusive_group(required=True)
    truth.add_argument("--annotations", type=Path, metavar="DIR", help="ground truth: DIR/SEQUENCE/*.png")
    truth.add_argument(
        "--video", type=Path, metavar="CLIP", help="measure temporal stability in CLIP, without annotations"
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="davis16",
        help="rules and folder layout of a data set: davis16 (default; without the first and last frame), fbms "
        "(annotations in SEQUENCE/GroundTruth), youtube-objects (in SEQUENCE/shots/001/labels)",
    )
    parser.add_argument(
        "--sequences",
        type=Path,
        metavar="FILE",
        help="text file with the names of the sequences to score, one per line",
    )
    parser.add_argument(
        "--bootstrap", action="store_true", help="add 95 %% confidence intervals of the averages over sequences"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores, in [0, 1], to FILE")
    parser.add_argument(
        "--contact-sheet", type=Path, metavar="FILE.png", help="write an image that shows the errors of each sequence"
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="frames to show below the masks of --contact-sheet")
    arguments = parser.parse_args()
    if arguments.video and (arguments.sequences or arguments.contact_sheet or arguments.bootstrap):
        parser.error("--sequences, --contact-sheet and --bootstrap need --annotations")
    if arguments.images and not arguments.contact_sheet:
        parser.error("--images needs --contact-sheet")
    if arguments.contact_sheet and arguments.contact_sheet.suffix.lower() != ".png":
        parser.error(f"--contact-sheet: got {arguments.contact_sheet.name}, expected a file name that ends in .png")
    return arguments


def _names(file: Path) -> list[str]:
    """Names of sequences from a text file, one per line, without duplicates; lines that start with # are comments."""
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--sequences {file} cannot be read: {error}; expected text with one name per line") from error
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def _write_json(path: Path | None, values: dict[str, Any]) -> None:
    if path is not None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
