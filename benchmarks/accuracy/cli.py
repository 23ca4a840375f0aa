"""amc-eval: how good masks are, against annotations or, without any, against the motion of their video."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2

from ...runtime.command import cli_entry_point
from ...runtime.errors import InputError
from ...runtime.files.atomic import replacing
from .contact_sheet import contact_sheet
from .evaluation import evaluate
from .protocol import PROTOCOLS
from .report import evaluation_table, stability_line
from .stability import video_stability

_EXAMPLES = """\
examples:
  amc-eval --masks results --annotations DAVIS/Annotations/480p --json davis16.json
  amc-eval --masks results --annotations DAVIS/Annotations/480p --images DAVIS/JPEGImages/480p --contact-sheet out.png
  amc-eval --masks results/clip --video clip.mp4

masks are DIR/SEQUENCE/NNNNN.png, DIR/SEQUENCE/masks/NNNNN.png or, of a single sequence, DIR/NNNNN.png or
DIR/masks/NNNNN.png, with the file names of their annotations; every value above 0 is object.
"""


@cli_entry_point
def main() -> int:
    """Score masks, print the table, write what was asked for; 0, or 2 if something is missing or unreadable."""
    arguments = _arguments()
    if arguments.video:
        stability = video_stability(arguments.video, arguments.masks, progress=True)
        print(stability_line(stability))
        _write_json(arguments.json, stability.to_json())
        return 0
    evaluation = evaluate(
        arguments.masks,
        arguments.annotations,
        protocol=arguments.protocol,
        sequences=_names(arguments.sequences) if arguments.sequences else None,
        progress=True,
    )
    print(evaluation_table(evaluation))
    _write_json(arguments.json, evaluation.to_json())
    if arguments.contact_sheet:
        sheet = contact_sheet(evaluation, arguments.images)
        _, png = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        with replacing(arguments.contact_sheet) as temporary:
            temporary.write_bytes(png.tobytes())
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="amc-eval", description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--masks", type=Path, required=True, metavar="DIR", help="the masks to score, see below")
    truth = parser.add_mutually_exclusive_group(required=True)
    truth.add_argument("--annotations", type=Path, metavar="DIR", help="the true masks: DIR/SEQUENCE/*.png")
    truth.add_argument("--video", type=Path, metavar="CLIP", help="without annotations: temporal stability in CLIP")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="davis16",
        help="whose rules and folders: davis16 (the default; first and last frame left out), fbms "
        "(annotations in SEQUENCE/GroundTruth), youtube-objects (in SEQUENCE/shots/001/labels)",
    )
    parser.add_argument("--sequences", type=Path, metavar="FILE", help="score only those named here, one a line")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures, as shares in [0, 1]")
    parser.add_argument(
        "--contact-sheet", type=Path, metavar="FILE.png", help="write a picture of where the errors are"
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="the frames, to lie below the contact sheet's masks")
    arguments = parser.parse_args()
    if arguments.video and (arguments.sequences or arguments.contact_sheet):
        parser.error("--sequences and --contact-sheet need --annotations")
    if arguments.images and not arguments.contact_sheet:
        parser.error("--images is for --contact-sheet only")
    if arguments.contact_sheet and arguments.contact_sheet.suffix.lower() != ".png":
        parser.error(f"--contact-sheet writes PNG; {arguments.contact_sheet.name} does not end in .png")
    return arguments


def _names(file: Path) -> list[str]:
    """The sequences named in a file, one a line, each once; lines that start with # are remarks."""
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--sequences {file} cannot be read: {error}; expected text, one name a line") from error
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def _write_json(path: Path | None, values: dict[str, Any]) -> None:
    if path is not None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
