"""Run-length encoding of masks as in COCO, readable by pycocotools."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from ..frame import MaskFrame
from .boxes import box_and_area


def rle_line(m: MaskFrame) -> str:
    """A JSON object: number and time of the frame, the mask, its box [x, y, width, height] and its area in px."""
    box, area = box_and_area(m.mask)
    return json.dumps(
        {
            "image_id": m.index,
            "seconds": round(m.pts_seconds, 6),
            "segmentation": {"size": list(m.mask.shape), "counts": encode_counts(run_lengths(m.mask))},
            "bbox": box,
            "area": area,
        }
    )


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Lengths of the runs of `mask` (H, W), column by column, of background and object in turn, background first.

    run_lengths(np.array([[True, False], [True, True]]))  # [0, 2, 1, 1]
    """
    pixels = np.ravel(mask, order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    lengths: list[int] = np.diff(changes, prepend=0, append=pixels.size).tolist()
    return [0, *lengths] if pixels[0] else lengths


def encode_counts(lengths: list[int]) -> str:
    """COCO's text form: each length, from the fourth on as its difference to the one two before, in groups of 5 bits,
    lowest first, with a sixth bit for "more follows", as characters from "0" (48) on.
    """
    text = bytearray()
    for place, length in enumerate(lengths):
        value = length - lengths[place - 2] if place > 2 else length
        more = True
        while more:
            group, value = value & 31, value >> 5
            more = value != (-1 if group & 16 else 0)  # the highest bit of the last group is the sign
            text.append(48 + group + 32 * more)
    return text.decode("ascii")
