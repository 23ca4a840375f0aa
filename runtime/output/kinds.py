"""The kinds of output of a run: the file or folder of each, and the bytes that it takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of output.

    path: the file, or the folder with one PNG per frame, within the run folder.
    purpose: what it is for, in a few words.
    bytes_per_pixel: what the footage of the demo takes (benchmarks/results/output-sizes.json), for estimates.
    soft: whether the edge of the object is soft.
    explains: whether it is made from the explanation of a mask, `MaskFrame.explanation`; its size does not depend on
        that of the frame.
    """

    path: str
    purpose: str
    bytes_per_pixel: float
    soft: bool = False
    explains: bool = False

    @property
    def is_folder(self) -> bool:
        return not Path(self.path).suffix


KINDS = {
    "masks": Kind(path="masks", purpose="programs; 0 and 255", bytes_per_pixel=0.0073),
    "masks-davis": Kind(
        path="masks-davis", purpose="evaluation code of DAVIS-2017; 0 and 1 with its palette", bytes_per_pixel=0.0131
    ),
    "probabilities": Kind(path="probabilities", purpose="thresholds of your own; 16-bit gray", bytes_per_pixel=0.3879),
    "matte": Kind(
        path="matte.mkv", purpose="compositing; opacity as lossless gray video, FFV1", bytes_per_pixel=0.0143, soft=True
    ),
    "matte-h264": Kind(
        path="matte.mp4", purpose="editors without FFV1; opacity as H.264", bytes_per_pixel=0.0053, soft=True
    ),
    "alpha-prores": Kind(
        path="alpha.mov", purpose="video editors; the object cut out, ProRes 4444", bytes_per_pixel=0.2573, soft=True
    ),
    "alpha-webm": Kind(
        path="alpha.webm", purpose="web pages; the object cut out, VP9 with alpha", bytes_per_pixel=0.0183, soft=True
    ),
    "alpha-png": Kind(
        path="alpha-png", purpose="image programs; the object cut out, RGBA", bytes_per_pixel=0.2821, soft=True
    ),
    "background": Kind(
        path="background.mp4", purpose="another background, see below", bytes_per_pixel=0.0132, soft=True
    ),
    "overlay": Kind(path="overlay.mp4", purpose="a look at the masks", bytes_per_pixel=0.0266),
    "contours": Kind(path="contours.mp4", purpose="a look at the edges", bytes_per_pixel=0.0303),
    "rle": Kind(path="rle.jsonl", purpose="COCO tools; run lengths, box and area per frame", bytes_per_pixel=0.003),
    "boxes": Kind(path="boxes.csv", purpose="tables; box and area per frame", bytes_per_pixel=0.0001),
    "explain": Kind(
        path="explain",
        purpose="a wrong mask; inputs, attention maps, scores, see below",
        bytes_per_pixel=1.0783,
        explains=True,
    ),
    "explain-scores": Kind(
        path="explain.csv", purpose="tables; co-attention scores per frame", bytes_per_pixel=0.0003, explains=True
    ),
    "explain-plot": Kind(
        path="explain.svg", purpose="a look at the scores over time", bytes_per_pixel=0.0003, explains=True
    ),
}
EXPLANATIONS = tuple(name for name, kind in KINDS.items() if kind.explains)
"""The kinds that `--explain` adds."""


def explains(names: Iterable[str]) -> bool:
    """Whether any of `names` is made from explanations."""
    return any(name in EXPLANATIONS for name in names)


def require_kinds(names: Iterable[str]) -> list[str]:
    """`names` without repetition, in the order of `KINDS`. Raises InputError for none, and for one that is unknown."""
    wanted = set(names)
    unknown = sorted(wanted - KINDS.keys())
    if unknown or not wanted:
        got = ", ".join(map(repr, unknown)) or "nothing"
        raise InputError(f"write: got {got}, expected some of {', '.join(KINDS)}. Fix: --write masks,overlay")
    return [name for name in KINDS if name in wanted]
