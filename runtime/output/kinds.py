"""The kinds of output of a run: the file or folder of each, and the bytes that it takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError


@dataclass(frozen=True, kw_only=True)
class Kind:
    """`path` is the file, or the folder with one PNG per frame, within the run folder. `soft`: the edge of the object
    is soft. `bytes_per_pixel` is what the demo footage takes, for estimates.
    """

    path: str
    bytes_per_pixel: float
    soft: bool = False

    @property
    def is_folder(self) -> bool:
        return not Path(self.path).suffix


# Bytes per pixel: benchmarks/results/output-sizes.json.
KINDS = {
    "masks": Kind(path="masks", bytes_per_pixel=0.009),
    "masks-davis": Kind(path="masks-davis", bytes_per_pixel=0.009),
    "probabilities": Kind(path="probabilities", bytes_per_pixel=0.8),
    "matte": Kind(path="matte.mkv", bytes_per_pixel=0.03, soft=True),
    "matte-h264": Kind(path="matte.mp4", bytes_per_pixel=0.01, soft=True),
    "alpha-prores": Kind(path="alpha.mov", bytes_per_pixel=0.3, soft=True),
    "alpha-webm": Kind(path="alpha.webm", bytes_per_pixel=0.02, soft=True),
    "alpha-png": Kind(path="alpha-png", bytes_per_pixel=0.4, soft=True),
    "background": Kind(path="background.mp4", bytes_per_pixel=0.05, soft=True),
    "overlay": Kind(path="overlay.mp4", bytes_per_pixel=0.06),
    "contours": Kind(path="contours.mp4", bytes_per_pixel=0.06),
    "rle": Kind(path="rle.jsonl", bytes_per_pixel=0.002),
    "boxes": Kind(path="boxes.csv", bytes_per_pixel=0.0001),
}


def require_kinds(names: Iterable[str]) -> list[str]:
    """`names` without repetition, in the order of `KINDS`. Raises InputError for none, and for one that is unknown."""
    wanted = set(names)
    unknown = sorted(wanted - KINDS.keys())
    if unknown or not wanted:
        got = ", ".join(map(repr, unknown)) or "nothing"
        raise InputError(f"write: got {got}, expected some of {', '.join(KINDS)}. Fix: --write masks,overlay")
    return [name for name in KINDS if name in wanted]
