"""Evaluation protocols of data sets, and the pairs of mask and annotation that they compare."""

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
    """Layout and interpretation of the annotations of a data set.

    Annotations are in DIR/<sequence>/`folder` with one of the `suffixes`; gray values above `threshold` are object.
    `skip_ends`: exclude the first and last annotated frame. `resize`: resize an annotation to the size of its mask
    (nearest neighbor) instead of raising an error. In masks, every value above 0 is object.
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
    """Files of the mask and the annotation of one scored frame; `name` is the file name without its suffix."""

    name: str
    mask: Path
    annotation: Path

    def read(self, protocol: Protocol) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(mask, annotation), (H, W) bool both; InputError if one cannot be read or their sizes differ."""
        mask, annotation = read_gray(self.mask), read_gray(self.annotation)
        if mask.shape != annotation.shape:
            if not protocol.resize:
                raise InputError(
                    f"{self.mask}: got {_size(mask)}, expected {_size(annotation)}, the size of {self.annotation}. "
                    "Fix: write the masks at the size of the annotated frames"
                )
            # EXACT samples pixel centers as Pillow does, which the official evaluation uses.
            size = (mask.shape[1], mask.shape[0])
            annotation = np.asarray(cv2.resize(annotation, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
        return mask > 0, annotation > protocol.threshold


def find_pairs(
    masks: Path, annotations: Path, protocol: Protocol, sequences: Sequence[str] | None = None
) -> dict[str, list[FramePair]]:
    """The scored frames by sequence, each with its mask. Raises InputError if an annotation or a mask is missing.

    Masks are in DIR/<sequence> or DIR/<sequence>/masks, for a single sequence also in DIR or DIR/masks, and have the
    file names of their annotations.
    """
    folders = _annotation_folders(annotations, protocol, sequences)
    pairs: dict[str, list[FramePair]] = {}
    missing: list[FramePair] = []
    for name, folder in folders.items():
        candidates = [masks / name / "masks", masks / name]
        if len(folders) == 1:
            candidates += [masks / "masks", masks]
        mask_folder = next((path for path in candidates if _images(path, (".png",))), masks / name)
        files = _images(folder, protocol.suffixes)
        if protocol.skip_ends:
            files = files[1:-1]
        if not files:
            raise InputError(
                f"{folder} has too few annotated frames: {protocol.name} excludes the first and the last one, "
                f"expected at least 3. Fix: exclude {name} with --sequences"
            )
        pairs[name] = [FramePair(file.stem, mask_folder / f"{file.stem}.png", file) for file in files]
        missing += [pair for pair in pairs[name] if not pair.mask.is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} of {sum(map(len, pairs.values()))} annotated frames have no mask; the first is "
            f"{missing[0].annotation}: expected {missing[0].mask}, with the file name of the annotation"
        )
    return pairs


def read_gray(path: Path) -> NDArray[np.uint8]:
    """An image as (H, W) uint8 gray. Raises InputError if it cannot be read completely."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    # OpenCV fills the rest of a truncated PNG with black, which would be scored as background.
    complete = data and (path.suffix != ".png" or b"IEND" in data[-64:])
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if complete else None
    if image is None:
        raise InputError(f"{path} is truncated or not an image: got {len(data)} bytes that cannot be decoded")
    return np.asarray(image, np.uint8)


def _annotation_folders(annotations: Path, protocol: Protocol, sequences: Sequence[str] | None) -> dict[str, Path]:
    if not annotations.is_dir():
        raise InputError(f"{annotations} is not a directory; expected the annotations, {_layout(protocol)}")
    single = annotations / protocol.folder
    if _images(single, protocol.suffixes):
        folders = {annotations.resolve().name: single}
    else:
        below = {child.name: child / protocol.folder for child in sorted(annotations.iterdir()) if child.is_dir()}
        folders = {name: folder for name, folder in below.items() if _images(folder, protocol.suffixes)}
    if not folders:
        raise InputError(f"{annotations} has no {protocol.name} annotations; expected {_layout(protocol)}")
    if sequences is None:
        return folders
    unknown = [name for name in sequences if name not in folders]
    if unknown or not sequences:
        raise InputError(
            f"no annotations for {', '.join(unknown) or 'an empty list of sequences'}: "
            f"{annotations} has {', '.join(folders)}"
        )
    return {name: folders[name] for name in sequences}


def _images(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.suffix in suffixes and not file.name.startswith("."))


def _layout(protocol: Protocol) -> str:
    return f"{Path('DIR', '<sequence>', protocol.folder)}/*{' or *'.join(protocol.suffixes)}"


def _size(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
