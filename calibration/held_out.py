"""Split of the selected frames into those for calibration and those held out for the comparison with FP32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

_Item = TypeVar("_Item")
_EVERY = 5  # one frame in five is held out


def with_held_out(frames: int) -> int:
    """Return the number of frames to select so that `frames` of them remain for calibration."""
    return frames + -(-frames // (_EVERY - 1))


def split_held_out(items: Sequence[_Item]) -> tuple[Sequence[_Item], Sequence[_Item]]:
    """Split `items` into (calibration, held out): the first and then every fifth are held out.

    A comparison on the calibration frames would be too favorable. A single item is used for both.
    """
    ranges = [item for index, item in enumerate(items) if index % _EVERY]
    return ranges or items, items[::_EVERY]
