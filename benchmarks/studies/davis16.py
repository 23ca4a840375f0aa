"""J and F of a bundled network on DAVIS-2016: python -m amcnet.benchmarks.studies.davis16 --davis DIR [--json FILE]

DIR has JPEGImages/480p and Annotations/480p. Masks at native resolution with threshold 0.5: as of `amc-infer`, without
the temporal filter, without motion (white flow images, as of a static scene), and with --crf also with the CRF in place
of the temporal filter.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...runtime.command import cli_entry_point
from ...runtime.files.atomic import replacing
from ...runtime.files.onnx_file import OnnxFile
from ...runtime.infer import InferOptions, infer
from ...runtime.segmenter import DEFAULT_AMCNET
from ...runtime.version import __version__
from ..accuracy.evaluation import Evaluation, evaluate
from ..accuracy.report import evaluation_table


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", type=Path, required=True, help="folder with JPEGImages/480p and Annotations/480p")
    parser.add_argument("--amcnet", type=Path, help="ONNX file (default: models/weights/amcnet-light.onnx)")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of an FP32 file (default: fp32)")
    parser.add_argument("--crf", action="store_true", help="also with the CRF, which takes 3 s per frame")
    parser.add_argument("--masks", type=Path, help="folder to keep the masks in")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.masks or Path(temporary)
        variants = dict(_measure(arguments, folder))
    for name, evaluation in variants.items():
        print(f"\n{name}\n{evaluation_table(evaluation)}")
    if arguments.json:
        results = {name: evaluation.to_json() for name, evaluation in variants.items()}
        network = OnnxFile.read(arguments.amcnet or DEFAULT_AMCNET)
        report = {"amcnet": __version__, "amcnet_sha256": network.sha256(), "variants": results}
        with replacing(arguments.json) as path:
            path.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _measure(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Evaluation]]:
    variants: dict[str, dict[str, Any]] = {
        "default": {},
        "without temporal filter": {"temporal": False},
        "without motion": {"still": True},
    }
    if arguments.crf:
        variants["CRF, without temporal filter"] = {"crf": True, "temporal": False}
    amcnet = arguments.amcnet or DEFAULT_AMCNET
    for name, changes in variants.items():
        changes["precision"] = "bf16" if arguments.precision == "bf16" else "auto"
        yield name, masks_score(arguments.davis, amcnet, folder / name.replace(" ", "-"), **changes)


def masks_score(
    davis: Path,
    amcnet: Path | None,
    masks: Path,
    *,
    still: bool = False,
    crf: bool = False,
    temporal: bool = True,
    precision: str = "auto",
) -> Evaluation:
    """Write the masks of every sequence of `davis` to `masks`, and score them.

    amcnet: ONNX file, None for the bundled network. still: white flow images in place of the motion. crf, temporal,
    precision: as in `InferOptions`.
    """
    images, annotations = (davis / kind / "480p" for kind in ("JPEGImages", "Annotations"))
    for sequence in sorted(path for path in images.iterdir() if path.is_dir()):
        flow = str(_still_flow(masks.parent / "still", sequence)) if still else "dis"
        infer(
            InferOptions(
                source=str(sequence),
                output=masks / sequence.name,
                amcnet=amcnet,
                flow=flow,
                crf=crf,
                temporal=temporal,
                precision=precision,
                overwrite=True,
            )
        )
    return evaluate(masks, annotations)


def _still_flow(folder: Path, sequence: Path) -> Path:
    """Write a white flow image, that of a static scene, for each frame of `sequence`; returns their folder."""
    still = folder / sequence.name
    still.mkdir(parents=True, exist_ok=True)
    for index, _ in enumerate(sequence.iterdir()):
        cv2.imwrite(str(still / f"{index:05d}.png"), np.full((384, 384, 3), 255, np.uint8))
    return still


if __name__ == "__main__":
    sys.exit(main())
