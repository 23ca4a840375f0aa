"""Sequences in the layout of DAVIS-2016: `JPEGImages/480p/<sequence>/*.jpg`, `Annotations/480p/<sequence>/*.png`.

The folder `480p` is optional, and frames may be .webp or .png.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import InputError

# Training sequences of DAVIS that cover the kinds of its validation sequences. Three sequences proved too few: the
# selection of weights was dominated by noise. Those three were dog-agility, mallard-water and swing.
HELD_OUT = {  # sequence: its kind
    "breakdance-flare": "a person, fast deformation",
    "dog-agility": "an animal, fast, partly occluded by poles",
    "drift-turn": "a car, small to large, panning camera, spectators in the background",
    "mallard-water": "an animal on moving water",
    "motocross-bumps": "a rider, fast, approaching the camera",
    "paragliding": "a small object in two parts, landscape in the background",
    "soccerball": "a small object, at times occluded by trees",
    "swing": "a person, partly occluded by thin structures",
}


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """Paths of the frames of one video, in order, and of the annotation of each."""

    name: str
    frames: tuple[Path, ...]
    annotations: tuple[Path, ...]


def find_sequences(root: Path, names: list[str] | None = None) -> list[Sequence]:
    """Return the sequences under `root` in the order of `names`.

    names: default: those listed in ImageSets/480p/train.txt, since the official folder also holds the validation
    sequences; without that file all folders; in alphabetical order.
    Raises InputError if there is no sequence, or if a sequence has no frames or lacks an annotation.
    """
    images, masks = (
        folder / "480p" if (folder / "480p").is_dir() else folder
        for folder in (root / "JPEGImages", root / "Annotations")
    )
    if not images.is_dir():
        raise InputError(f"{root} has no folder JPEGImages; expected DAVIS-2016: JPEGImages/480p/bear/00000.jpg …")
    official = root / "ImageSets" / "480p" / "train.txt"
    if names is None and official.is_file():
        names = sorted({Path(line.split()[0]).parent.name for line in official.read_text().splitlines() if line})
    if names is None:
        names = sorted(folder.name for folder in images.iterdir() if folder.is_dir())
    sequences = []
    for name in names:
        frames = tuple(sorted(p for p in (images / name).glob("*") if p.suffix in (".jpg", ".webp", ".png")))
        annotations = tuple(masks / name / f"{frame.stem}.png" for frame in frames)
        absent = [path for path in annotations if not path.is_file()]
        if not frames or absent:
            problem = f"{absent[0]} is missing" if absent else f"{images / name} holds no frames"
            raise InputError(f"{problem}; expected frames (.jpg, .webp or .png) and an annotation .png for each")
        sequences.append(Sequence(name=name, frames=frames, annotations=annotations))
    if not sequences:
        raise InputError(f"{images} holds no sequences; expected one folder of frames per sequence")
    return sequences


def hold_out(sequences: list[Sequence]) -> tuple[list[Sequence], list[Sequence]]:
    """Split the sequences into those to train on and those held out for validation.

    Held out are the sequences of HELD_OUT if all of them are present, otherwise every fourth, or the last of fewer than
    four.
    """
    held = [sequence for sequence in sequences if sequence.name in HELD_OUT]
    if len(held) < len(HELD_OUT):
        held = sequences[3::4] or sequences[-1:]
    return [sequence for sequence in sequences if sequence not in held], held


def read_mask(path: Path, above: int = 0) -> NDArray[np.uint8]:
    """Return a mask (H, W) uint8: 255 where the file's gray value exceeds `above` (0 to 254), else 0.

    Raises InputError for a file that cannot be read.
    """
    # DAVIS has palette, 1-bit, and one gray-alpha mask (bear/00077); IMREAD_GRAYSCALE reads all of them.
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise InputError(f"{path} is not a readable mask; expected a .png")
    return np.where(mask > above, 255, 0).astype(np.uint8)
