"""Sequences in the layout of DAVIS-2016: `JPEGImages/480p/<sequence>/*.jpg` with `Annotations/480p/<sequence>/*.png`.

The resolution's folder may be missing, and the frames may be .webp or .png.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import InputError

# Of DAVIS's training sequences, one of each kind that its validation sequences are of. With three, the choice of
# weights followed chance. The bundled network was not trained on those three: dog-agility, mallard-water and swing.
HELD_OUT = {  # sequence: its kind
    "breakdance-flare": "a person, deforming fast",
    "dog-agility": "an animal, fast, partly hidden by poles",
    "drift-turn": "a car, small at first and large at last, filmed by a camera that pans, before spectators",
    "mallard-water": "an animal on water that moves",
    "motocross-bumps": "a rider, fast, nearing the camera",
    "paragliding": "a small object in two parts, before a landscape",
    "soccerball": "a small object, hidden at times by trees",
    "swing": "a person, partly hidden by thin structures",
}


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """The frames of one video in order, and the annotation of each."""

    name: str
    frames: tuple[Path, ...]
    annotations: tuple[Path, ...]


def find_sequences(root: Path, names: list[str] | None = None) -> list[Sequence]:
    """The sequences under `root` in alphabetical order, those in `names` only, if given.

    Without `names`, those that ImageSets/480p/train.txt lists, where it exists: the official folder also holds the
    validation sequences. Raises InputError where there are none, or a frame has no annotation.
    """
    pictures, masks = (
        folder / "480p" if (folder / "480p").is_dir() else folder
        for folder in (root / "JPEGImages", root / "Annotations")
    )
    if not pictures.is_dir():
        raise InputError(f"{root} has no folder JPEGImages; expected DAVIS-2016: JPEGImages/480p/bear/00000.jpg …")
    official = root / "ImageSets" / "480p" / "train.txt"
    if names is None and official.is_file():
        names = sorted({Path(line.split()[0]).parent.name for line in official.read_text().splitlines() if line})
    if names is None:
        names = sorted(folder.name for folder in pictures.iterdir() if folder.is_dir())
    sequences = []
    for name in names:
        frames = tuple(sorted(p for p in (pictures / name).glob("*") if p.suffix in (".jpg", ".webp", ".png")))
        annotations = tuple(masks / name / f"{frame.stem}.png" for frame in frames)
        absent = [path for path in annotations if not path.is_file()]
        if not frames or absent:
            problem = f"{absent[0]} is missing" if absent else f"{pictures / name} holds no frames"
            raise InputError(f"{problem}; expected a .jpg, .webp or .png and an annotation .png for each frame")
        sequences.append(Sequence(name=name, frames=frames, annotations=annotations))
    if not sequences:
        raise InputError(f"{pictures} holds no sequences; expected one folder of frames for each")
    return sequences


def hold_out(sequences: list[Sequence]) -> tuple[list[Sequence], list[Sequence]]:
    """Those to train on, and those by which the weights are chosen.

    Held out are the sequences of `HELD_OUT` where all of them are there; of others every fourth, of few the last.
    """
    held = [sequence for sequence in sequences if sequence.name in HELD_OUT]
    if len(held) < len(HELD_OUT):
        held = sequences[3::4] or sequences[-1:]
    return [sequence for sequence in sequences if sequence not in held], held


def read_mask(path: Path, above: int = 0) -> NDArray[np.uint8]:
    """(H, W) uint8, 0 or 255: what is brighter than `above` counts as object. Raises InputError."""
    # One DAVIS mask (bear/00077) is gray with alpha, others are palettes or 1-bit: "gray" reads them all alike.
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise InputError(f"{path} is not a readable mask; expected a .png")
    return np.where(mask > above, 255, 0).astype(np.uint8)
