"""Small images of three masks of a run: the first, the middle and the worst one."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..metrics.mask_iou import mask_iou
from ..output.mask_files import read_mask

_PAIRS = 50  # compared: 1.2 ms a pair at 854x480, whatever the length of the video
_LONGER_SIDE_PX = 96


def mask_samples(masks: Sequence[Path]) -> list[dict[str, Any]]:
    """`[{"name": "first", "frame": 0, "png": base64}, …]` of `masks`, the files of a run in their order.

    The worst mask is the one that agrees least with the mask before it (lowest IoU), of at most 50 that are spread
    evenly over the video; without a second frame there is none. Raises InputError for a mask that cannot be read.
    """
    frames = len(masks)
    read = lru_cache(maxsize=2)(lambda index: read_mask(masks[index]))  # neighbors share a mask
    indices = {"first": 0, "middle": frames // 2}
    later = np.unique(np.linspace(1, frames - 1, min(_PAIRS, frames - 1)).round().astype(int))  # none for one frame
    ious = {int(index): _agreement(read(int(index) - 1), read(int(index))) for index in later}
    if ious:
        indices["worst"] = min(ious, key=lambda index: ious[index])
    return [{"name": name, "frame": index, "png": _small_png(read(index))} for name, index in indices.items()]


def _agreement(before: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    return mask_iou(before, mask) if before.shape == mask.shape else 1.0  # the source's size changed, not the object


def _small_png(mask: NDArray[np.bool_]) -> str:
    height, width = mask.shape
    scale = min(1.0, _LONGER_SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(mask.view(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA)
    _, png = cv2.imencode(".png", small)
    return base64.b64encode(png.tobytes()).decode()
