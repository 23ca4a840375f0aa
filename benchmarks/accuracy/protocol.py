"""What a data set's evaluation agrees on, and the pairs of files that it compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a data set keeps and reads its annotations.

    Annotations lie in DIR/<sequence>/`folder` with one of the `suffixes`; gray values above `threshold` are object.
    `skip_ends` leaves the first and last annotated frame out; `resize` fits an annotation to a mask of another size
    (nearest neighbor) instead of refusing it. Of masks, everything above 0 is object, in each data set.
    """

    name: str
    folder: str = ""
    suffixes: tuple[str, ...] = (".png",)
    threshold: int = 0
    skip_ends: bool = False
    resize: bool = True


PROTOCOLS = {
    p.name: p
    for p in (
        Protocol(name="davis16", skip_ends=True, resize=False),
        Protocol(name="fbms", folder="GroundTruth", threshold=128),
        Protocol(name="youtube-objects", folder="shots/001/labels", suffixes=(".png", ".jpg"), threshold=127),
    )
}


@dataclass(frozen=True)
class FramePair:
    """The mask and the annotation of one frame that counts; `name` is the file name without its suffix."""

    name: str
    mask: Path
    annotation: Path

    def read(self, protocol: Protocol) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(mask, annotation), (H, W) bool both; InputError if one cannot be read or their sizes differ."""
        mask, annotation = read_gray(self.mask), read_gray(self.annotation)
        if mask.shape != annotation.shape:
            if not protocol.resize:
                raise InputError(
                    f"{self.mask} is {_size(mask)} but its annotation {self.annotation} is {_size(annotation)}; "
                    f"{protocol.name} compares equal sizes: write the masks at the size of the annotated frames"
                )
            # EXACT samples pixel centers, as Pillow does, which made the official figures.
            size = (mask.shape[1], mask.shape[0])
            annotation = np.asarray(cv2.resize(annotation, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
        return mask > 0, annotation > protocol.threshold


def find_pairs(
    masks: Path, annotations: Path, protocol: Protocol, sequences: Sequence[str] | None = None
) -> dict[str, list[FramePair]]:
    """The frames that count, by sequence, each with its mask; InputError if an annotation or a mask is missing.

    Masks lie in DIR/<sequence> or DIR/<sequence>/masks, and have the names of their annotations; where there is
    only one sequence also in DIR or DIR/masks.
    """
    folders = _annotation_folders(annotations, protocol, sequences)
    pairs: dict[str, list[FramePair]] = {}
    missing: list[FramePair] = []
    for name, folder in folders.items():
        places = [masks / name / "masks", masks / name]
        if len(folders) == 1:
            places += [masks / "masks", masks]
        mask_folder = next((place for place in places if _pictures(place, (".png",))), masks / name)
        files = _pictures(folder, protocol.suffixes)
        if protocol.skip_ends:
            files = files[1:-1]
        if not files:
            raise InputError(
                f"{folder} has too few annotated frames: {protocol.name} leaves the first and the last one out, "
                f"so 3 are needed; leave {name} out with --sequences"
            )
        pairs[name] = [FramePair(file.stem, mask_folder / f"{file.stem}.png", file) for file in files]
        missing += [pair for pair in pairs[name] if not pair.mask.is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} of {sum(map(len, pairs.values()))} annotated frames have no mask, first of them "
            f"{missing[0].annotation}: expected {missing[0].mask}. A mask has the file name of its annotation"
        )
    return pairs


def read_gray(path: Path) -> NDArray[np.uint8]:
    """A picture as (H, W) uint8 gray; InputError if it cannot be read to its end."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    # OpenCV fills what a cut PNG lacks with black, which would be scored as background.
    whole = data and (path.suffix != ".png" or b"IEND" in data[-64:])
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if whole else None
    if picture is None:
        raise InputError(f"{path} is not a whole picture ({len(data)} bytes); write it again")
    return np.asarray(picture, np.uint8)


def _annotation_folders(annotations: Path, protocol: Protocol, sequences: Sequence[str] | None) -> dict[str, Path]:
    if not annotations.is_dir():
        raise InputError(f"{annotations} is not a directory; expected the annotations, {_layout(protocol)}")
    alone = annotations / protocol.folder
    if _pictures(alone, protocol.suffixes):
        folders = {annotations.resolve().name: alone}
    else:
        below = {child.name: child / protocol.folder for child in sorted(annotations.iterdir()) if child.is_dir()}
        folders = {name: folder for name, folder in below.items() if _pictures(folder, protocol.suffixes)}
    if not folders:
        raise InputError(f"{annotations} holds no {protocol.name} annotations; expected {_layout(protocol)}")
    if sequences is None:
        return folders
    unknown = [name for name in sequences if name not in folders]
    if unknown or not sequences:
        raise InputError(
            f"no annotations for {', '.join(unknown) or 'an empty list of sequences'}; "
            f"{annotations} has {', '.join(folders)}"
        )
    return {name: folders[name] for name in sequences}


def _pictures(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.suffix in suffixes and not file.name.startswith("."))


def _layout(protocol: Protocol) -> str:
    return f"{Path('DIR', '<sequence>', protocol.folder)}/*{' or *'.join(protocol.suffixes)}"


def _size(picture: NDArray[np.uint8]) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
